//! Settings through `wasi:config/store`.

use super::bindings::wasi::config::store;
use crate::settings::{Settings, SettingsError};

/// What the manifest sets under `grants.config`.
#[derive(Clone, Copy, Debug)]
pub struct Config;

impl Settings for Config {
    fn get(&self, key: &str) -> Result<Option<String>, SettingsError> {
        store::get(key).map_err(|error| match error {
            store::Error::Upstream(reason) | store::Error::Io(reason) => {
                SettingsError::Host(reason)
            }
        })
    }
}
