//! `wasi:config/store`: the settings that the manifest gives.

use tracing::info;
use wasmtime::component::{HasSelf, Linker};

use super::state::State;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/config",
        world: "imports",
        imports: { default: trappable },
    });
}

use bindings::wasi::config::store;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl store::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        let value = self
            .blueprint
            .grants
            .config
            .get(&key)
            .map(|setting| setting.expose().to_owned());
        if value.is_none() && self.refusals.first(&format!("config {key}")) {
            info!(service = %self.blueprint.service, key, manifest = %self.blueprint.manifest_file,
                "the guest asked for a setting it is not given; grants.config.{key} in the manifest would give it");
        }
        Ok(Ok(value))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        let settings = self.blueprint.grants.config.iter();
        Ok(Ok(settings
            .map(|(key, setting)| (key.clone(), setting.expose().to_owned()))
            .collect()))
    }
}
