//! From bytes to something that can be run, with every check that can be made before running it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;

use super::engine::{Concurrency, Sandbox};
use super::guest::Pre;
use super::typed::{Exports, Interface, Refusal, link, signature};
use crate::config::{show_duration, show_size};

/// What a component of the generation 0.3 exports.
const HANDLER_THREE: &str = "wasi:http/handler@0.3";

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
    /// It exports neither a handler nor anything that other services could call.
    #[error(
        "the component exports no HTTP handler; a service exports wasi:http/incoming-handler@0.2 or \
         wasi:http/handler@0.3, or an interface of its own for other services to call (it exports: {exports})"
    )]
    NoHandler {
        /// What it exports instead.
        exports: String,
    },
    /// It imports something that this host doesn't have.
    #[error("the component can't be linked: {0}")]
    Unlinkable(String),
    /// It exports or imports an interface that can't be called from another service.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It takes longer to compile than it may.
    #[error(
        "compiling it takes longer than {}, which is what deploy.compile_timeout allows; raise it in the server's \
         configuration if this component is to be trusted", show_duration(*.allowed)
    )]
    TooLong {
        /// How long it may take.
        allowed: Duration,
    },
    /// It takes more memory to compile than it may.
    #[error(
        "compiling it takes more memory than {}, which is what deploy.compile_memory allows; raise it in the \
         server's configuration if this component is to be trusted", show_size(*.allowed)
    )]
    TooMuchMemory {
        /// The memory that it may take, in bytes.
        allowed: u64,
    },
    /// The system has no memory to compile it.
    #[error("there is not enough memory to compile it")]
    NoMemory,
    /// What compiles has failed.
    #[error(
        "the process that compiles failed: {0}; replace the file, or touch it, to have it tried again"
    )]
    Compiler(String),
    /// Nobody waits for it any more.
    #[error("it was given up before it was compiled: the host is shutting down")]
    Canceled,
    /// The host has no engine for it.
    #[error("this host can't run components of its kind: {0:#}")]
    NoEngine(#[from] anyhow::Error),
}

/// What a component asks for and offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
}

/// What a component wants of other services, and what it offers them.
#[derive(Debug)]
pub struct Contract {
    /// The interfaces that it imports and this host doesn't have.
    pub wanted: Vec<Interface>,
    /// The interfaces that it exports, but for those of WASI.
    pub exports: Exports,
}

/// Compiled code that passed every check.
#[derive(Clone)]
pub struct Component {
    pub(super) pre: Arc<Pre>,
    /// Which `wasi:http` it speaks. `None`: it answers no requests.
    pub generation: Option<Generation>,
    /// What it imports and exports.
    pub facts: Arc<Facts>,
}

/// Compiled code, for the engine that it was compiled for.
pub(super) struct Code {
    pub(super) code: wasmtime::component::Component,
    pub(super) concurrency: Concurrency,
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
        self.build(bytes).map(|code| code.facts())
    }

    /// Validates and compiles, for the engine that suits it.
    pub(super) fn build(&self, bytes: &[u8]) -> Result<Code, ComponentError> {
        in_turn(bytes, |concurrency| self.build_for(concurrency, bytes))
    }

    fn build_for(&self, concurrency: Concurrency, bytes: &[u8]) -> Result<Code, ComponentError> {
        let engine = &self.runtime(concurrency)?.engine;
        let code = wasmtime::component::Component::from_binary(engine, bytes)
            .map_err(|error| ComponentError::Invalid(format!("{error:#}")))?;
        Ok(Code { code, concurrency })
    }

    /// Makes sure that compiled code is a service that this host can run.
    pub(super) fn link(&self, code: &Code) -> Result<Component, ComponentError> {
        let facts = code.facts();
        let exports = |prefix: &str| facts.exports.iter().any(|name| name.starts_with(prefix));
        let generation = if exports(HANDLER_THREE) {
            Some(Generation::Three)
        } else {
            exports("wasi:http/incoming-handler@0.2").then_some(Generation::Two)
        };
        let contract = Contract {
            wanted: signature::imports(&code.code)?,
            exports: Exports::of(&code.code)?,
        };
        if generation.is_none() && contract.exports.interfaces().next().is_none() {
            let exports = if facts.exports.is_empty() {
                "nothing".to_owned()
            } else {
                facts.exports.join(", ")
            };
            return Err(ComponentError::NoHandler { exports });
        }
        let unlinkable = |error: wasmtime::Error| ComponentError::Unlinkable(format!("{error:#}"));
        let linker = &self.runtime(code.concurrency)?.linker;
        let pre = if contract.wanted.is_empty() {
            linker.instantiate_pre(&code.code)
        } else {
            let mut linker = linker.clone();
            link::define(&mut linker, &contract.wanted).map_err(unlinkable)?;
            linker.instantiate_pre(&code.code)
        };
        let pre = pre.map_err(unlinkable)?;
        let pre = Pre::new(pre, generation, code.concurrency, Arc::new(contract));
        Ok(Component {
            pre: Arc::new(pre.map_err(unlinkable)?),
            generation,
            facts: Arc::new(facts),
        })
    }
}

impl Component {
    /// The engine it was compiled for.
    pub(super) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// What it wants of other services, and offers them.
    pub fn contract(&self) -> &Arc<Contract> {
        &self.pre.contract
    }

    /// Requests and calls that one instance may hold at once if the manifest doesn't say; one, whatever
    /// the manifest says, where the guest can do but one thing at a time.
    pub(super) fn default_concurrency(&self) -> NonZeroUsize {
        match (self.generation, self.pre.concurrency) {
            (Some(generation), _) => generation.default_concurrency(),
            (None, Concurrency::On) => Generation::Three.default_concurrency(),
            (None, Concurrency::Off) => NonZeroUsize::MIN,
        }
    }
}

impl Code {
    fn facts(&self) -> Facts {
        let (kind, engine) = (self.code.component_type(), self.code.engine());
        let interface = |item: &ComponentItem| !matches!(item, ComponentItem::Type(_));
        Facts {
            imports: kind
                .imports(engine)
                .filter(|(_, item)| interface(&item.ty))
                .map(|(name, _)| name.to_owned())
                .collect(),
            exports: kind
                .exports(engine)
                .filter(|(_, item)| interface(&item.ty))
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }
}

/// Makes something of a component for the engine that suits it, and if it is not valid there, for the
/// other one.
pub(super) fn in_turn<T>(
    bytes: &[u8],
    make: impl Fn(Concurrency) -> Result<T, ComponentError>,
) -> Result<T, ComponentError> {
    check_preamble(bytes)?;
    let (first, second) = if exports_three(bytes) {
        (Concurrency::On, Concurrency::Off)
    } else {
        (Concurrency::Off, Concurrency::On)
    };
    match make(first) {
        // it may use async and yet answer 0.2
        Err(ComponentError::Invalid(error)) => {
            make(second).map_err(|_| ComponentError::Invalid(error))
        }
        outcome => outcome,
    }
}

/// Whether the component exports a handler of the generation 0.3, as far as its bytes can be read.
fn exports_three(bytes: &[u8]) -> bool {
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentExportSection(exports) if depth == 0 => {
                let mut exports = exports.into_iter().map_while(Result::ok);
                if exports.any(|export| export.name.name.starts_with(HANDLER_THREE)) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// The first eight bytes tell a component from a module and from anything else (component model,
/// `Binary.md`).
pub(super) fn check_preamble(bytes: &[u8]) -> Result<(), ComponentError> {
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
