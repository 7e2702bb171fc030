//! The JSON body of a registration and of a login: `{"username": "...", "password": "..."}`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use thiserror::Error;
use zeroize::Zeroizing;

/// What somebody typed, unchecked. The password is wiped from memory when dropped.
pub struct Credentials {
    /// The member `username`.
    pub username: String,
    /// The member `password`.
    pub password: Zeroizing<String>,
}

impl Credentials {
    /// Reads a body. Members of other names are ignored.
    pub fn parse(body: &[u8]) -> Result<Self, CredentialsError> {
        let members: Members =
            serde_json::from_slice(body).map_err(|error| match error.classify() {
                Category::Data => CredentialsError::NotAnObject,
                Category::Syntax | Category::Eof | Category::Io => CredentialsError::NotJson(error),
            })?;
        let username = members.username.text("username")?;
        let password = members.password.text("password")?;
        Ok(Self {
            username,
            password: Zeroizing::new(password),
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a body.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// It is not JSON (RFC 8259).
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is an array, a string, or something else that is no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A member is missing, given twice, or not a string.
    #[error("`{field}` {reason}")]
    Member {
        /// The member's name.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A member of the object, as far as it has been seen.
#[derive(Default)]
enum Member {
    #[default]
    Missing,
    Text(String),
    NotText,
    Twice,
}

impl Member {
    fn see(&mut self, value: Value) {
        *self = match (&self, value) {
            (Self::Missing, Value::String(text)) => Self::Text(text),
            (Self::Missing, _) => Self::NotText,
            _ => Self::Twice,
        };
    }

    fn text(self, field: &'static str) -> Result<String, CredentialsError> {
        let reason = match self {
            Self::Text(text) => return Ok(text),
            Self::Missing => "is missing",
            Self::NotText => "must be a string",
            Self::Twice => "is given more than once",
        };
        Err(CredentialsError::Member { field, reason })
    }
}

#[derive(Default)]
struct Members {
    username: Member,
    password: Member,
}

// By hand rather than derived: a derived one doesn't tell its caller which member is wrong.
impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "username" => members.username.see(map.next_value()?),
                        "password" => members.password.see(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        Credentials::parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_two_members_are_read_and_others_ignored() {
        let body = br#"{"remember":[1,{}],"password":"s\u0065cret","username":"alice"}"#;
        let credentials = Credentials::parse(body).unwrap();
        assert_eq!(credentials.username, "alice");
        assert_eq!(*credentials.password, "secret");
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn what_is_not_json_is_told_from_json_of_another_shape() {
        for body in [
            "",
            "{",
            "{\"username\":\"a\",}",
            "{} {}",
            "\u{feff}{}",
            "{\"username\":\"\\ud800\"}",
        ] {
            let error = Credentials::parse(body.as_bytes()).unwrap_err();
            assert!(
                matches!(error, CredentialsError::NotJson(_)),
                "{body}: {error}"
            );
        }
        for body in ["[]", "null", "7", "\"alice\"", "true"] {
            let error = Credentials::parse(body.as_bytes()).unwrap_err();
            assert!(
                matches!(error, CredentialsError::NotAnObject),
                "{body}: {error}"
            );
        }
    }

    #[test]
    fn a_wrong_member_is_named() {
        for (body, message) in [
            (r#"{"password":"p"}"#, "`username` is missing"),
            (r#"{"username":"u"}"#, "`password` is missing"),
            (
                r#"{"username":7,"password":"p"}"#,
                "`username` must be a string",
            ),
            (
                r#"{"username":"u","password":null}"#,
                "`password` must be a string",
            ),
            (
                r#"{"username":"u","username":"v","password":"p"}"#,
                "`username` is given more than once",
            ),
        ] {
            assert_eq!(refused(body), message);
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let body = format!("{{\"username\":{}", "[".repeat(10_000));
        assert!(refused(&body).contains("not JSON"));
    }
}
