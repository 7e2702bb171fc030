//! `[grants]`: the capabilities that an operator gives a service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{HttpGrant, ServiceName};

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
    /// The services that it may call.
    pub services: BTreeSet<ServiceName>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_setting_is_never_shown() {
        let grants = Grants {
            env: BTreeMap::from([("TOKEN".to_owned(), Setting::new("s3cret"))]),
            ..Grants::default()
        };
        let shown = format!("{grants:?} {grants:#?}");
        assert!(shown.contains("TOKEN"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(grants.env["TOKEN"].expose(), "s3cret");
    }
}
