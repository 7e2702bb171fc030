//! Where a service may send requests.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::router::HostPattern;

const HTTP: &str = r#"scheme://host or scheme://host:port with http or https and nothing after it, such as "https://api.example.com", "http://127.0.0.1:8081", "https://*.example.com""#;

/// The scheme of an outgoing request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS; port 80 unless said otherwise.
    Http,
    /// With TLS; port 443 unless said otherwise.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is meant if none is named (RFC 9110, 4.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// ASCII-case-insensitive, as RFC 3986, 3.1 has it.
    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    }
}

/// A place to which a service may send requests: `scheme://host[:port]`.
///
/// The host is a name, an IP address, or `*.` and a name, which stands for everything below that
/// name, however deep, and not for the name itself. A grant for a name isn't one for the
/// addresses that the name resolves to, nor the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    scheme: Scheme,
    host: HostPattern,
    port: u16,
}

/// Text that isn't an [`HttpGrant`]; the message says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} {problem}; allowed: {HTTP}")]
pub struct InvalidHttpGrant {
    /// Without any user information.
    text: String,
    problem: String,
}

impl HttpGrant {
    /// Whether a request to this scheme, host and port is granted. Scheme and host are compared
    /// without regard to ASCII case, and the host without regard to one trailing dot. An IPv6
    /// address may stand in brackets or not.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        Scheme::parse(scheme) == Some(self.scheme) && port == self.port && self.host.matches(host)
    }
}

impl FromStr for HttpGrant {
    type Err = InvalidHttpGrant;

    fn from_str(text: &str) -> Result<Self, InvalidHttpGrant> {
        // User information may be a password, and messages go to the log.
        let shown = match text.rsplit_once('@') {
            Some((_, host)) => format!("..@{host}"),
            None => text.to_owned(),
        };
        let refuse = |problem: String| InvalidHttpGrant {
            text: shown.clone(),
            problem,
        };
        if text.contains('@') {
            return Err(refuse("has user information".to_owned()));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse("has no scheme".to_owned()))?;
        let scheme = Scheme::parse(scheme)
            .ok_or_else(|| refuse(format!("has the unknown scheme {scheme:?}")))?;
        for (mark, what) in [('?', "a query"), ('#', "a fragment"), ('/', "a path")] {
            if rest.contains(mark) {
                return Err(refuse(format!("has {what}")));
            }
        }
        // A colon within brackets belongs to an IPv6 address.
        let host_end = rest.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match rest[host_end..].find(':') {
            Some(colon) => rest.split_at(host_end + colon),
            None => (rest, ""),
        };
        let port = match port.strip_prefix(':') {
            None => scheme.default_port(),
            Some(port) => parse_port(port).ok_or_else(|| {
                refuse(format!(
                    "has {port:?} for a port, not a number from 1 to 65535"
                ))
            })?,
        };
        let host = host
            .parse()
            .map_err(|error| refuse(format!("has a host that cannot be: {error}")))?;
        Ok(Self { scheme, host, port })
    }
}

/// Only digits: `u16::from_str` also takes a plus sign.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(text: &str) -> HttpGrant {
        text.parse().unwrap()
    }

    #[test]
    fn a_grant_is_for_one_scheme_one_port_and_its_hosts() {
        let api = grant("https://api.example.com");
        assert!(api.allows("https", "api.example.com", 443));
        assert!(api.allows("HTTPS", "API.Example.COM.", 443));
        assert!(!api.allows("http", "api.example.com", 443));
        assert!(!api.allows("https", "api.example.com", 8443));
        assert!(!api.allows("https", "example.com", 443));
        assert!(!api.allows("https", "x.api.example.com", 443));
        assert!(!api.allows("ftp", "api.example.com", 443));
        assert!(grant("http://a.b").allows("http", "a.b", 80));
        assert!(grant("http://[::1]:8081").allows("http", "::1", 8081));
        assert!(grant("http://[::1]:8081").allows("http", "[::1]", 8081));
        assert!(grant("http://127.0.0.1:8081").allows("http", "127.0.0.1", 8081));
        assert!(!grant("http://localhost:1").allows("http", "127.0.0.1", 1));
        let below = grant("https://*.example.com:8443");
        assert!(below.allows("https", "a.b.example.com", 8443));
        assert!(!below.allows("https", "example.com", 8443));
    }

    #[test]
    fn the_canonical_form_is_displayed() {
        for (text, form) in [
            ("HTTPS://API.Example.com.:443", "https://api.example.com"),
            ("http://*.a.b:80", "http://*.a.b"),
            ("https://a:80", "https://a:80"),
            ("http://[0:0::1]:8081", "http://[::1]:8081"),
        ] {
            assert_eq!(grant(text).to_string(), form);
            assert_eq!(grant(form), grant(text));
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_what_is_allowed() {
        for (text, problem) in [
            ("example.com", "has no scheme"),
            ("ftp://example.com", r#"has the unknown scheme "ftp""#),
            ("https://example.com/", "has a path"),
            ("https://example.com/v1", "has a path"),
            ("https://example.com?x", "has a query"),
            ("https://example.com#x", "has a fragment"),
            ("https://example.com:", r#"has "" for a port"#),
            ("https://example.com:0", "a number from 1 to 65535"),
            ("https://example.com:+80", "a number from 1 to 65535"),
            ("https://example.com:65536", "a number from 1 to 65535"),
            ("https://", "has a host that cannot be"),
            ("https://*", "has a host that cannot be"),
            ("https://127.1", "has a host that cannot be"),
            ("https://[::1", "for a port"),
            ("https://::1", "for a port"),
        ] {
            let error = text.parse::<HttpGrant>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains("; allowed: scheme://host"), "{error}");
        }
    }

    #[test]
    fn user_information_is_refused_and_not_repeated() {
        let error = "https://joe:s3cret@example.com"
            .parse::<HttpGrant>()
            .unwrap_err();
        assert!(
            error.to_string().contains("has user information"),
            "{error}"
        );
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }

    /// A name of few and short labels, so that names are often equal or below one another.
    fn name() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[ab]{1,2}", 1..5)
    }

    /// Another spelling of the same name.
    fn respell(name: &str, upper: &[bool], dot: bool) -> String {
        let flip = |(c, upper): (char, &bool)| if *upper { c.to_ascii_uppercase() } else { c };
        let mut text: String = name.chars().zip(upper.iter().cycle()).map(flip).collect();
        if dot {
            text.push('.');
        }
        text
    }

    proptest! {
        #[test]
        fn allows_exactly_what_comparing_labels_allows(
            granted in name(),
            wildcard: bool,
            asked in name(),
            https: (bool, bool),
            ports in (1_u16..3, 1_u16..3),
            upper in prop::collection::vec(any::<bool>(), 1..4),
            dots: (bool, bool),
        ) {
            let scheme = |https| if https { "https" } else { "http" };
            let star = if wildcard { "*." } else { "" };
            let host = respell(&granted.join("."), &upper, dots.0);
            let text = format!("{}://{star}{host}:{}", scheme(https.0), ports.0);
            let hosts_match = if wildcard {
                asked.len() > granted.len() && asked.ends_with(&granted)
            } else {
                asked == granted
            };
            prop_assert_eq!(
                grant(&text).allows(
                    scheme(https.1),
                    &respell(&asked.join("."), &upper, dots.1),
                    ports.1,
                ),
                hosts_match && https.0 == https.1 && ports.0 == ports.1
            );
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "(https?://)?[a0*.:@/\\[\\]é-]{0,12}") {
            if let Ok(grant) = text.parse::<HttpGrant>() {
                prop_assert_eq!(grant.to_string().parse::<HttpGrant>(), Ok(grant));
            }
        }
    }
}
