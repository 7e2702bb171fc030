//! `[grants]`: the capabilities that an operator gives a service.

use std::collections::{BTreeMap, BTreeSet};
use std::env::VarError;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use super::ConfigError;
use super::decode::quote;
use super::section::Section;
use crate::router::HostPattern;

const SETTING: &str = r#"a string, or { from_env = "VARIABLE" }"#;
const HTTP: &str = r#"scheme://host or scheme://host:port with http or https and nothing after it, such as "https://api.example.com", "http://127.0.0.1:8081", "https://*.example.com""#;

/// What a service may reach beyond clocks, randomness and its log. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// The names of the key-value buckets that it may open.
    pub keyvalue: BTreeSet<String>,
    /// What `wasi:config/store` answers.
    pub config: BTreeMap<String, Setting>,
    /// What `wasi:cli/environment` answers.
    pub env: BTreeMap<String, Setting>,
    /// Where it may send requests.
    pub http: Vec<HttpGrant>,
}

impl Grants {
    /// Whether a request to this place is granted; see [`HttpGrant::allows`].
    pub fn allows_http(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.http
            .iter()
            .any(|grant| grant.allows(scheme, host, port))
    }
}

/// A value that is handed to a guest, and that may be a secret: it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting(String);

impl Setting {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the guest and nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Setting(..)")
    }
}

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
        let refuse = |problem: String| InvalidHttpGrant {
            text: text.to_owned(),
            problem,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refuse("has no scheme".to_owned()))?;
        let scheme = Scheme::parse(scheme)
            .ok_or_else(|| refuse(format!("has the unknown scheme {scheme:?}")))?;
        for (mark, what) in [
            ('@', "user information"),
            ('?', "a query"),
            ('#', "a fragment"),
            ('/', "a path"),
        ] {
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGrants {
    keyvalue: Vec<String>,
    config: BTreeMap<String, RawSetting>,
    env: BTreeMap<String, RawSetting>,
    http: Vec<String>,
}

/// A setting as it is written: the value itself, or where to find it.
enum RawSetting {
    Value(String),
    FromEnv(String),
}

impl RawGrants {
    pub(super) fn check(
        self,
        at: Section<'_>,
        environment: &dyn Fn(&str) -> Result<String, VarError>,
    ) -> Result<Grants, ConfigError> {
        let http = self.http.iter().enumerate().map(|(index, text)| {
            text.parse().map_err(|error: InvalidHttpGrant| {
                at.refuse(&format!("http[{index}]"), error.to_string())
            })
        });
        Ok(Grants {
            http: http.collect::<Result<_, _>>()?,
            keyvalue: buckets(at, self.keyvalue)?,
            config: settings(at, "config", self.config, environment)?,
            env: settings(at, "env", self.env, environment)?,
        })
    }
}

/// Takes the names that every kind of store can hold.
fn buckets(at: Section<'_>, written: Vec<String>) -> Result<BTreeSet<String>, ConfigError> {
    for (index, name) in written.iter().enumerate() {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(at.refuse(
                &format!("keyvalue[{index}]"),
                format!(
                    "{name:?} cannot be the name of a bucket; allowed: 1 to 64 of a-z, A-Z, 0-9, \
                     \"-\" and \"_\""
                ),
            ));
        }
    }
    Ok(written.into_iter().collect())
}

fn settings(
    at: Section<'_>,
    table: &str,
    written: BTreeMap<String, RawSetting>,
    environment: &dyn Fn(&str) -> Result<String, VarError>,
) -> Result<BTreeMap<String, Setting>, ConfigError> {
    let mut settings = BTreeMap::new();
    for (name, raw) in written {
        let key = format!("{table}.{}", quote(&name));
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(at.refuse(
                &key,
                "cannot be a name; allowed: any that is not empty and has no \"=\" and no NUL",
            ));
        }
        let value = match raw {
            RawSetting::Value(value) => value,
            RawSetting::FromEnv(variable) => environment(&variable).map_err(|error| {
                let problem = match error {
                    VarError::NotPresent => "is not set",
                    VarError::NotUnicode(_) => "is not valid UTF-8",
                };
                at.refuse(
                    &key,
                    format!(
                        "the environment variable {variable:?} {problem}; set it for the server, \
                         or write the value here"
                    ),
                )
            })?,
        };
        if value.contains('\0') {
            return Err(at.refuse(&key, "has a NUL in its value; allowed: any other text"));
        }
        settings.insert(name, Setting(value));
    }
    Ok(settings)
}

impl<'de> Deserialize<'de> for RawSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct FromEnv {
            from_env: String,
        }

        struct SettingVisitor;

        impl<'de> Visitor<'de> for SettingVisitor {
            type Value = RawSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SETTING)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawSetting, E> {
                Ok(RawSetting::Value(text.to_owned()))
            }

            // What stands here may be a secret, so that none of these quotes it.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<RawSetting, E> {
                Err(E::custom(format_args!(
                    "a number cannot stand here; allowed: {SETTING}"
                )))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<RawSetting, E> {
                Err(E::custom(format_args!(
                    "a number cannot stand here; allowed: {SETTING}"
                )))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<RawSetting, E> {
                Err(E::custom(format_args!(
                    "a boolean cannot stand here; allowed: {SETTING}"
                )))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSetting, A::Error> {
                FromEnv::deserialize(MapAccessDeserializer::new(map))
                    .map(|found| RawSetting::FromEnv(found.from_env))
            }
        }

        deserializer.deserialize_any(SettingVisitor)
    }
}
