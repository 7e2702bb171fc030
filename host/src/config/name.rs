//! The name of a service.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use utoipa::ToSchema;

/// What a service is called: the stem of `NAME.wasm`.
///
/// It is a DNS label (RFC 1123, lower case only): 1 to 63 of `a-z`, `0-9` and `-`, neither
/// starting nor ending with `-`. So it can stand in a URL path, a host name, a metric label and
/// a file name as it is. Cloning it is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "login")]
pub struct ServiceName(Arc<str>);

/// A name that no service can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot be the name of a service; allowed: 1 to 63 of a-z, 0-9 and \"-\", \
     starting and ending with a letter or a digit"
)]
pub struct InvalidName(String);

impl ServiceName {
    /// The longest name that is allowed, in bytes: that of a DNS label (RFC 1035, 2.3.4).
    pub const MAX_LEN: usize = 63;

    /// Takes `name` if it is allowed.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let allowed = (1..=Self::MAX_LEN).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if allowed {
            Ok(Self(name.into()))
        } else {
            Err(InvalidName(name.to_owned()))
        }
    }

    /// The service that a file belongs to: `login` for `services/login.wasm` and for
    /// `services/login.toml`.
    pub fn of_file(file: &Path) -> Result<Self, InvalidName> {
        Self::parse(&file.file_stem().unwrap_or_default().to_string_lossy())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::parse(name)
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ServiceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    #[test]
    fn dns_labels_are_names() {
        let longest = "a".repeat(63);
        for name in ["a", "0", "login", "login-2", "a--b", "2fa", &longest] {
            assert_eq!(ServiceName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn anything_else_is_refused_and_told_what_is_allowed() {
        let too_long = "a".repeat(64);
        for name in [
            "", "-a", "a-", "-", "Login", "log_in", "a.b", "a/b", "..", "über", "a b", &too_long,
        ] {
            let error = ServiceName::parse(name).unwrap_err().to_string();
            assert!(error.contains("1 to 63 of a-z, 0-9"), "{error}");
        }
    }

    #[test]
    fn a_file_belongs_to_the_service_of_its_stem() {
        let of_file = |file: &str| ServiceName::of_file(Path::new(file));
        assert_eq!(of_file("services/login.wasm").unwrap().as_str(), "login");
        assert_eq!(of_file("login.toml").unwrap().as_str(), "login");
        // An editor's or a download's temporary files are no services.
        for file in ["login.wasm.tmp", ".login.wasm", ".wasm", "login~", "/"] {
            assert!(of_file(file).is_err(), "{file}");
        }
    }

    #[test]
    fn maps_keyed_by_names_are_searched_by_text() {
        let name = ServiceName::parse("login").unwrap();
        let hashed = HashMap::from([(name.clone(), 1)]);
        let sorted = BTreeMap::from([(name, 1)]);
        assert_eq!(hashed.get("login"), Some(&1));
        assert_eq!(sorted.get("login"), Some(&1));
    }
}
