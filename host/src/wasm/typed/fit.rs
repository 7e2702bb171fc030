//! Whether what one service offers is what another wants.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::difference::difference;
use super::signature::{Function, Interface};
use super::version::compatible;

/// Why an interface doesn't serve somebody who wants another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is another interface, or a version that isn't compatible.
    Version {
        /// The interface that is wanted.
        wanted: Arc<str>,
        /// The interface that is offered.
        offered: Arc<str>,
    },
    /// It lacks a function.
    Missing {
        /// The interface that is offered.
        offered: Arc<str>,
        /// The function that is wanted.
        wanted: Box<Function>,
    },
    /// A function has another signature.
    Signature {
        /// The interface that is offered.
        interface: Arc<str>,
        /// The function that is wanted.
        wanted: Box<Function>,
        /// The function that is offered.
        offered: Box<Function>,
    },
}

impl std::error::Error for Mismatch {}

impl Display for Mismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { wanted, offered } => write!(
                f,
                "{wanted} is wanted, and {offered} is offered, which is not compatible with it"
            ),
            Self::Missing { offered, wanted } => {
                write!(
                    f,
                    "{offered} has no `{}`; wanted is `{wanted}`",
                    wanted.name
                )
            }
            Self::Signature {
                interface,
                wanted,
                offered,
            } => {
                write!(f, "`{}` of {interface} ", wanted.name)?;
                if let Some(place) = difference(wanted, offered) {
                    write!(f, "differs in {place}: ")?;
                } else {
                    write!(f, "differs: ")?;
                }
                write!(f, "wanted is `{wanted}`, offered is `{offered}`")
            }
        }
    }
}

/// Whether the interface that a service offers serves one that imports `importer`: the version is
/// compatible, and every function that the importer knows is there with the same parameters, by name and
/// type, and the same result. What else the provider has doesn't matter, nor which of the two has declared
/// a function `async`: that is about how one waits, not about what is passed.
///
/// # Errors
///
/// The first thing that doesn't fit.
pub fn satisfies(provider: &Interface, importer: &Interface) -> Result<(), Mismatch> {
    if !compatible(&provider.name, &importer.name) {
        return Err(Mismatch::Version {
            wanted: Arc::clone(&importer.name),
            offered: Arc::clone(&provider.name),
        });
    }
    for wanted in &importer.functions {
        let Some(position) = provider.position(&wanted.name) else {
            return Err(Mismatch::Missing {
                offered: Arc::clone(&provider.name),
                wanted: Box::new(wanted.clone()),
            });
        };
        let offered = &provider.functions[position];
        if wanted.params != offered.params || wanted.result != offered.result {
            return Err(Mismatch::Signature {
                interface: Arc::clone(&provider.name),
                wanted: Box::new(wanted.clone()),
                offered: Box::new(offered.clone()),
            });
        }
    }
    Ok(())
}
