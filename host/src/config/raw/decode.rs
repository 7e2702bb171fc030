//! From the text of a file to raw values, with errors that name the key.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_path_to_error::Segment;

use crate::config::ConfigError;

/// How the only key of the table begins as which the TOML parser passes a date or time.
pub(super) const TOML_PRIVATE: &str = "$__toml_private";

/// Decodes the TOML in `text`; `file` is where it came from, for messages.
pub(super) fn decode<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, ConfigError> {
    let document = toml::Deserializer::parse(text).map_err(|error| syntax(file, text, &error))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let (key, name) = key_path(error.path());
        ConfigError::Value {
            file: file.to_owned(),
            key,
            problem: explain(one_line(error.inner().message()), &name),
        }
    })
}

/// Decodes a section. A derived `Deserialize` would also take an array, and fill the fields in
/// the order of their declaration.
pub(super) fn section<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Table<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Table(PhantomData))
}

fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    ConfigError::Syntax {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
        message: one_line(error.message()),
    }
}

/// The path as it is shown, and the last name in it.
fn key_path(path: &serde_path_to_error::Path) -> (String, String) {
    let mut shown = String::new();
    let mut last = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                // Writing to a `String` can't fail.
                let _ = write!(shown, "[{index}]");
            }
            Segment::Map { key } => {
                last.clone_from(key);
                if key.starts_with(TOML_PRIVATE) {
                    continue;
                }
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown += &quote(key);
            }
            // The variant is the value, and the message quotes it.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (shown, last)
}

/// Writes a key as TOML would have it: bare if it can be.
pub(super) fn quote(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Puts serde's words for an unknown key, an unknown choice or a wrong type into ours, and leaves
/// every other message as it is.
fn explain(message: String, key: &str) -> String {
    let unknown_key = format!("unknown field `{key}`, ");
    if let Some(expected) = message.strip_prefix(&unknown_key) {
        let allowed = names(expected);
        let hint = nearest(key, &allowed).unwrap_or_default();
        return format!("unknown key{hint}; allowed here: {}", allowed.join(", "));
    }
    if let Some((value, expected)) = message
        .strip_prefix("unknown variant `")
        .and_then(|rest| rest.split_once("`, expected "))
    {
        let allowed = names(expected);
        let hint = nearest(value, &allowed).unwrap_or_default();
        let allowed: Vec<_> = allowed.iter().map(|name| format!("{name:?}")).collect();
        return format!(
            "{value:?} is unknown{hint}; allowed: {}",
            allowed.join(", ")
        );
    }
    if let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        let found = match found {
            "map" => "a table or date",
            "sequence" => "a list",
            // It may be a secret.
            found if found.starts_with("string ") => "a string",
            found => found,
        };
        let expected = if expected == "a sequence" {
            "a list"
        } else {
            expected
        };
        return format!("{found} cannot stand here; allowed: {expected}");
    }
    message
}

/// The names between backticks.
fn names(expected: &str) -> Vec<&str> {
    expected.split('`').skip(1).step_by(2).collect()
}

/// A hint at the name that was probably meant: one that a few typing errors turn into `written`.
fn nearest(written: &str, allowed: &[&str]) -> Option<String> {
    allowed
        .iter()
        .map(|name| (strsim::osa_distance(written, name), name))
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .min()
        .map(|(_, name)| format!(", did you mean {name:?}?"))
}
