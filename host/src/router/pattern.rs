//! What a service may name as its own: `[host]/path`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::host::HostPattern;
use crate::config::ServiceName;

/// The longest pattern, in segments: bounds the depth of the table.
const MAX_SEGMENTS: usize = 32;

/// Which requests are meant.
///
/// ```text
/// /login                  /login and everything below it, on every host
/// /                       everything
/// /users/*/posts          the segment in the middle may be any, but not empty
/// = /health               this path and no other
/// api.example.com/v1      on one host
/// *.example.com/          on every host below example.com
/// ```
///
/// A path is compared by whole segments, with regard to case. Percent-encoded unreserved
/// characters are decoded first (RFC 3986, 6.2.2.2), and nothing else is: `%2F` isn't a slash,
/// and empty segments aren't merged, so that `//login` isn't `/login`.
///
/// Two patterns are equal if they match the same requests; `Display` writes the canonical form,
/// which parses to an equal one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub(super) host: Option<HostPattern>,
    /// Empty for `/`.
    pub(super) segments: Vec<Segment>,
    pub(super) exact: bool,
}

/// One part of a path, between slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// This text, [`normalized`].
    Literal(Box<str>),
    /// `*`: any text but none.
    Any,
}

/// Text that isn't a [`Pattern`]; the message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{pattern:?} {problem}")]
pub struct InvalidPattern {
    pattern: String,
    problem: String,
}

impl Pattern {
    /// `/NAME` and everything below it: what a service gets that names nothing else.
    pub fn for_service(service: &ServiceName) -> Self {
        let name = Segment::Literal(service.as_str().into());
        Self {
            host: None,
            segments: vec![name],
            exact: false,
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let refuse = |problem: String| InvalidPattern {
            pattern: text.to_owned(),
            problem,
        };
        let (exact, rest) = match text.strip_prefix('=') {
            Some(rest) => (true, rest.trim_start_matches(' ')),
            None => (false, text),
        };
        let Some(slash) = rest.find('/') else {
            return Err(refuse(
                "has no path; allowed: a path such as \"/login\", a host and a path such as \
                 \"api.example.com/\", or \"= /health\" for exactly that path"
                    .to_owned(),
            ));
        };
        let (host, path) = rest.split_at(slash);
        let host = match host {
            "" => None,
            host => Some(host.parse().map_err(|error| {
                refuse(format!(
                    "has a host that cannot be: {error}; allowed: a name, an address or \
                     \"*.example.com\", without scheme and port"
                ))
            })?),
        };
        let segments = parse_path(&path[1..], exact).map_err(refuse)?;
        Ok(Self {
            host,
            segments,
            exact,
        })
    }
}

/// Takes a path without its first slash.
fn parse_path(path: &str, exact: bool) -> Result<Vec<Segment>, String> {
    if path.is_empty() && !exact {
        return Ok(Vec::new());
    }
    if let Some(path) = path.strip_suffix('/')
        && !exact
    {
        return Err(format!(
            "ends in a slash; write \"/{path}\" for it and everything below it, or \"= /{path}/\" \
             for exactly that path"
        ));
    }
    let count = path.split('/').count();
    if count > MAX_SEGMENTS {
        return Err(format!("has {count} segments; allowed: {MAX_SEGMENTS}"));
    }
    let last = count - 1;
    path.split('/')
        .enumerate()
        .map(|(index, segment)| match segment {
            "" if index < last => Err("has an empty segment; write one slash, not two".to_owned()),
            segment => parse_segment(segment),
        })
        .collect()
}

fn parse_segment(segment: &str) -> Result<Segment, String> {
    if segment == "*" {
        return Ok(Segment::Any);
    }
    if segment.contains('*') {
        return Err(format!(
            "has the segment {segment:?}; `*` stands for a whole segment and never for a part of one"
        ));
    }
    let normal = normalized(segment);
    if matches!(&*normal, "." | "..") {
        return Err(
            "has a segment \".\" or \"..\", which clients resolve and never send".to_owned(),
        );
    }
    // RFC 3986, 3.3: pchar. Anything else can't come in a request, or means something else.
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
        let allowed = match byte {
            b'%' => hex(bytes.next()) && hex(bytes.next()),
            byte => is_unreserved(byte) || b"!$&'()+,;=:@".contains(&byte),
        };
        if !allowed {
            return Err(format!(
                "has the segment {segment:?}; allowed: letters, digits and -._~!$&'()+,;=:@, and \
                 anything else percent-encoded, such as %20"
            ));
        }
    }
    Ok(Segment::Literal(normal.into()))
}

/// The form in which segments are compared: percent-encoded unreserved characters are decoded
/// (RFC 3986, 6.2.2.2), and other percent-encodings written in upper case (6.2.2.1). What is no
/// percent-encoding stays. Borrowed if there is no percent sign.
pub(super) fn normalized(segment: &str) -> Cow<'_, str> {
    let Some(first) = segment.find('%') else {
        return Cow::Borrowed(segment);
    };
    let (plain, mut rest) = segment.split_at(first);
    let mut normal = String::with_capacity(segment.len());
    normal.push_str(plain);
    while let Some(next) = rest.chars().next() {
        if let Some((code, byte)) = percent_encoding(rest) {
            if is_unreserved(byte) {
                normal.push(char::from(byte));
            } else {
                normal.push_str(&code.to_ascii_uppercase());
            }
            rest = &rest[code.len()..];
        } else {
            normal.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    Cow::Owned(normal)
}

/// The percent-encoding with which `text` starts, and what it stands for.
fn percent_encoding(text: &str) -> Option<(&str, u8)> {
    let code = text.get(..3)?;
    let digits = code.strip_prefix('%')?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok().map(|byte| (code, byte))
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exact {
            f.write_str("= ")?;
        }
        if let Some(host) = &self.host {
            write!(f, "{host}")?;
        }
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Pattern>().unwrap().to_string()
    }

    #[test]
    fn the_canonical_form_is_displayed_and_reads_back() {
        for (text, form) in [
            ("/", "/"),
            ("/login", "/login"),
            ("/%6Cogin", "/login"),
            ("/a%2fb", "/a%2Fb"),
            ("=/health", "= /health"),
            ("=  /health", "= /health"),
            ("= /", "= /"),
            ("= /a/", "= /a/"),
            ("/users/*/posts", "/users/*/posts"),
            ("API.Example.com./v1", "api.example.com/v1"),
            ("= *.example.com/x", "= *.example.com/x"),
            ("[0::1]/", "[::1]/"),
        ] {
            assert_eq!(canonical(text), form);
            assert_eq!(canonical(form), form);
            assert_eq!(text.parse::<Pattern>(), form.parse());
        }
        assert_ne!("= /".parse::<Pattern>(), "/".parse());
    }

    #[test]
    fn a_refusal_says_what_to_write_instead() {
        for (text, hint) in [
            ("", "has no path"),
            ("login", "has no path"),
            ("api.example.com", "a host and a path such as"),
            (
                "/login/",
                r#"write "/login" for it and everything below it, or "= /login/""#,
            ),
            ("/a//b", "write one slash, not two"),
            ("//a", "write one slash, not two"),
            ("= //", "write one slash, not two"),
            ("/a*", "whole segment"),
            ("/../etc", "which clients resolve"),
            ("/%2e%2E", "which clients resolve"),
            ("/a b", "such as %20"),
            ("/ä", "percent-encoded"),
            ("/a?b", "percent-encoded"),
            ("/a%2", "percent-encoded"),
            ("/a%zz", "percent-encoded"),
            ("localhost:8080/", "without scheme and port"),
            ("https://example.com/", "without scheme and port"),
            ("*/", "`*` that is not its whole first label"),
            (&"/a".repeat(33), "has 33 segments; allowed: 32"),
        ] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn only_unreserved_characters_are_decoded() {
        for (segment, normal) in [
            ("login", "login"),
            ("%6cog%69n", "login"),
            ("a%2fb", "a%2Fb"),
            ("%zz%", "%zz%"),
            ("%%41", "%A"),
            ("%2541", "%2541"),
            ("%c3%a4", "%C3%A4"),
            ("%é1", "%é1"),
            ("%+1", "%+1"),
        ] {
            assert_eq!(normalized(segment), normal);
        }
    }
}
