//! From bytes to something that can be run, with every check that can be made before running it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;
use wasmtime::component::Component as Code;
use wasmtime::component::types::ComponentItem;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use super::engine::Sandbox;
use super::state::State;

/// Which `wasi:http` a component speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Generation {
    /// `wasi:http/incoming-handler@0.2`: one request at a time.
    #[serde(rename = "0.2")]
    Two,
    /// `wasi:http/handler@0.3`: several requests at once.
    #[serde(rename = "0.3")]
    Three,
}

impl Generation {
    /// Requests that one instance may hold at once if the manifest doesn't say.
    pub fn default_concurrency(self) -> NonZeroUsize {
        match self {
            Self::Two => NonZeroUsize::MIN,
            Self::Three => NonZeroUsize::MIN.saturating_add(15),
        }
    }
}

/// Why bytes can't be a service.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// They are not WebAssembly.
    #[error("this is not a WebAssembly component: {0}")]
    NotWasm(&'static str),
    /// They are a core module.
    #[error(
        "this is a core WebAssembly module, not a component; build it with `cargo component build --release` \
         or `cargo build --release --target wasm32-wasip2`"
    )]
    CoreModule,
    /// They don't validate, or use a feature that this host doesn't have.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// It doesn't export a handler.
    #[error(
        "the component exports no HTTP handler; a service exports wasi:http/incoming-handler@0.2 or \
         wasi:http/handler@0.3 (it exports: {exports})"
    )]
    NoHandler {
        /// What it exports instead.
        exports: String,
    },
    /// It imports something that this host doesn't have.
    #[error("the component can't be linked: {0}")]
    Unlinkable(String),
}

/// What a component asks for and offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
}

/// Compiled code that passed every check.
#[derive(Clone)]
pub struct Component {
    pub(super) pre: Arc<ProxyPre<State>>,
    /// Which `wasi:http` it speaks.
    pub generation: Generation,
    /// What it imports and exports.
    pub facts: Arc<Facts>,
}

impl Sandbox {
    /// Compiles a component. Takes seconds of CPU for a large one: not for an async thread.
    ///
    /// # Errors
    ///
    /// Why this host can't run it, in words for its author.
    pub fn compile(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        self.link(&self.build(bytes)?)
    }

    /// What a component imports and exports, whether or not this host can run it.
    ///
    /// # Errors
    ///
    /// Bytes that are no valid component.
    pub fn facts(&self, bytes: &[u8]) -> Result<Facts, ComponentError> {
        self.build(bytes).map(|component| self.facts_of(&component))
    }

    /// Validates and compiles.
    pub(super) fn build(&self, bytes: &[u8]) -> Result<Code, ComponentError> {
        check_preamble(bytes)?;
        Code::from_binary(&self.engine, bytes)
            .map_err(|error| ComponentError::Invalid(format!("{error:#}")))
    }

    /// Makes sure that compiled code is a service that this host can run.
    pub(super) fn link(&self, component: &Code) -> Result<Component, ComponentError> {
        let facts = self.facts_of(component);
        let exports = |prefix: &str| facts.exports.iter().any(|name| name.starts_with(prefix));
        let three = exports("wasi:http/handler@0.3");
        if !three && !exports("wasi:http/incoming-handler@0.2") {
            let exports = if facts.exports.is_empty() {
                "nothing".to_owned()
            } else {
                facts.exports.join(", ")
            };
            return Err(ComponentError::NoHandler { exports });
        }
        let unlinkable = |error: wasmtime::Error| ComponentError::Unlinkable(format!("{error:#}"));
        let pre = self.linker.instantiate_pre(component).map_err(unlinkable)?;
        let (pre, generation) = if three {
            (
                ProxyPre::P3(p3::bindings::ServicePre::new(pre).map_err(unlinkable)?),
                Generation::Three,
            )
        } else {
            (
                ProxyPre::P2(p2::bindings::ProxyPre::new(pre).map_err(unlinkable)?),
                Generation::Two,
            )
        };
        Ok(Component {
            pre: Arc::new(pre),
            generation,
            facts: Arc::new(facts),
        })
    }

    fn facts_of(&self, component: &Code) -> Facts {
        let kind = component.component_type();
        let interface = |item: &ComponentItem| !matches!(item, ComponentItem::Type(_));
        Facts {
            imports: kind
                .imports(&self.engine)
                .filter(|(_, item)| interface(&item.ty))
                .map(|(name, _)| name.to_owned())
                .collect(),
            exports: kind
                .exports(&self.engine)
                .filter(|(_, item)| interface(&item.ty))
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }
}

/// The first eight bytes tell a component from a module and from anything else (component model,
/// `Binary.md`).
fn check_preamble(bytes: &[u8]) -> Result<(), ComponentError> {
    match bytes {
        [] => Err(ComponentError::NotWasm("the file is empty")),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(ComponentError::CoreModule),
        [0, b'a', b's', b'm', ..] => Err(ComponentError::NotWasm(
            "its header is cut off or of an unknown version",
        )),
        [0x7f, b'E', b'L', b'F', ..] => Err(ComponentError::NotWasm(
            "it is native code; precompiled components are never run, deploy the .wasm that they were made from",
        )),
        _ => Err(ComponentError::NotWasm(
            "it doesn't begin with a WebAssembly header",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert!(matches!(
            check_preamble(b""),
            Err(ComponentError::NotWasm("the file is empty"))
        ));
        assert!(matches!(
            check_preamble(b"hello world"),
            Err(ComponentError::NotWasm(_))
        ));
        assert!(matches!(
            check_preamble(b"\0asm"),
            Err(ComponentError::NotWasm(_))
        ));
        assert!(matches!(
            check_preamble(b"\x7fELF\x02\x01\x01\0"),
            Err(ComponentError::NotWasm(_))
        ));
        assert!(matches!(
            check_preamble(b"\0asm\x01\0\0\0"),
            Err(ComponentError::CoreModule)
        ));
        assert!(check_preamble(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
