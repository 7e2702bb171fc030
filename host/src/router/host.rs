//! Which hosts a pattern or a grant names.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The longest name in DNS, as text without the trailing dot (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// A host, or all hosts below a name. Compared without regard to ASCII case and without regard
/// to one trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// A name, in lower case, without a trailing dot.
    Name(Box<str>),
    /// `*.example.com`: every name that has at least one label more than this one, and ends
    /// with it.
    Below(Box<str>),
    /// An address; the text may have an IPv6 address in brackets or not.
    Ip(IpAddr),
}

/// Text that isn't a [`HostPattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{host:?} {problem}")]
pub struct InvalidHost {
    host: String,
    problem: &'static str,
}

impl HostPattern {
    /// Whether `host`, without a port, is one of those that are named.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => strip_dot(host).eq_ignore_ascii_case(name),
            Self::Below(suffix) => below(strip_dot(host), suffix),
            Self::Ip(ip) => parse_ip(host) == Some(*ip),
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let refuse = |problem| InvalidHost {
            host: text.to_owned(),
            problem,
        };
        if text.starts_with('[') {
            return parse_ip(text)
                .map(Self::Ip)
                .ok_or_else(|| refuse("is not an IPv6 address in brackets"));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(refuse("is an IPv6 address, which needs brackets around it"));
        }
        if let Some(ip) = parse_ip(text) {
            return Ok(Self::Ip(ip));
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let name = strip_dot(name).to_ascii_lowercase();
        check_name(&name).map_err(refuse)?;
        Ok(if wildcard {
            Self::Below(name.into())
        } else {
            Self::Name(name.into())
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// The text under which a host is looked up: what [`HostPattern`] displays for it. `None` for
/// what is too long to be a host. Borrowed if the host came like that, as nearly all do.
pub(super) fn canonical(host: &str) -> Option<Cow<'_, str>> {
    let host = strip_dot(host);
    if host.len() > MAX_NAME {
        return None;
    }
    Some(if host.starts_with('[') {
        parse_ip(host).map_or(Cow::Borrowed(host), |ip| {
            HostPattern::Ip(ip).to_string().into()
        })
    } else if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

fn strip_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn below(host: &str, suffix: &str) -> bool {
    host.len().checked_sub(suffix.len()).is_some_and(|end| {
        let (labels, rest) = host.as_bytes().split_at(end);
        rest.eq_ignore_ascii_case(suffix.as_bytes()) && labels.len() > 1 && labels.ends_with(b".")
    })
}

/// An IPv4 address in its one usual form, or an IPv6 address, in brackets or not.
fn parse_ip(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    if let Ok(ip) = strip_dot(host).parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(ip));
    }
    host.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.contains('*') {
        return Err("has a `*` that is not its whole first label, as in `*.example.com`");
    }
    if name.contains(':') {
        return Err("has a port, which has no place here");
    }
    if name.len() > MAX_NAME {
        return Err("is longer than 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err("has a label that is empty or longer than 63 characters");
        }
        // Underscores are no part of a host name, and yet in use.
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err("has a character other than a-z, 0-9, `-`, `_` and `.`");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a label that starts or ends with `-`");
        }
    }
    // Resolvers read `127.1` and `0x7f.1` as addresses, so that they can't be names.
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits(last) || last.strip_prefix("0x").is_some_and(hex) {
        return Err("ends in a number and is not an IPv4 address such as 127.0.0.1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn names_ignore_case_and_one_trailing_dot() {
        let example = host("API.Example.com.");
        assert_eq!(example.to_string(), "api.example.com");
        for same in ["api.example.com", "API.EXAMPLE.COM", "api.example.com."] {
            assert!(example.matches(same), "{same}");
        }
        for other in [
            "example.com",
            "x.api.example.com",
            "api.example.com..",
            "",
            ".",
        ] {
            assert!(!example.matches(other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_is_for_everything_below_and_not_for_the_name_itself() {
        let below = host("*.Example.com");
        for inside in ["a.example.com", "a.b.EXAMPLE.com."] {
            assert!(below.matches(inside), "{inside}");
        }
        for outside in [
            "example.com",
            ".example.com",
            "aexample.com",
            "a.example.com.evil",
            "com",
        ] {
            assert!(!below.matches(outside), "{outside}");
        }
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        assert_eq!(host("[0:0::1]").to_string(), "[::1]");
        assert!(host("[::1]").matches("[0:0:0:0:0:0:0:1]"));
        assert!(host("[::1]").matches("::1"));
        assert!(host("127.0.0.1").matches("127.0.0.1."));
        assert!(!host("127.0.0.1").matches("127.1"));
        assert!(!host("127.0.0.1").matches("[::ffff:127.0.0.1]"));
    }

    #[test]
    fn what_can_not_be_a_host_is_refused() {
        for text in [
            "",
            ".",
            "*",
            "*.",
            "*.*.com",
            "a.*.com",
            "a*.com",
            "a..b",
            "-a.com",
            "a-.com",
            "a b",
            "exämple.com",
            "127.1",
            "1.2.3.4.5",
            "*.0.0.1",
            "0x7f.0x1",
            "[127.0.0.1]",
            "[::1",
            "::1",
            "[fe80::1%eth0]",
            "localhost:80",
            "[::1]:80",
            "a/b",
            "user@a",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
