//! `[grants]` as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::env::VarError;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::decode::{TOML_PRIVATE, quote, section};
use super::section::Section;
use crate::config::{ConfigError, Grants, InvalidHttpGrant, InvalidName, Setting};

const SETTING: &str = r#"a string, or { from_env = "VARIABLE" }"#;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGrants {
    keyvalue: Vec<String>,
    #[serde(deserialize_with = "section")]
    config: BTreeMap<String, RawSetting>,
    #[serde(deserialize_with = "section")]
    env: BTreeMap<String, RawSetting>,
    http: Vec<String>,
    services: Vec<String>,
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
        let services = self.services.iter().enumerate().map(|(index, name)| {
            name.parse().map_err(|error: InvalidName| {
                at.refuse(&format!("services[{index}]"), error.to_string())
            })
        });
        Ok(Grants {
            services: services.collect::<Result<_, _>>()?,
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
        settings.insert(name, Setting::new(value));
    }
    Ok(settings)
}

impl<'de> Deserialize<'de> for RawSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawSetting, A::Error> {
                let refuse = |problem: &str| {
                    de::Error::custom(format_args!("{problem}; allowed: {SETTING}"))
                };
                let mut variable = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "from_env" => variable = Some(map.next_value()?),
                        date if date.starts_with(TOML_PRIVATE) => {
                            return Err(refuse("a date or time cannot stand here"));
                        }
                        other => return Err(refuse(&format!("has the unknown key {other:?}"))),
                    }
                }
                variable
                    .map(RawSetting::FromEnv)
                    .ok_or_else(|| refuse("has no from_env"))
            }
        }

        deserializer.deserialize_any(SettingVisitor)
    }
}
