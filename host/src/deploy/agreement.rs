//! Whether services that call one another's functions fit: each interface that one imports has to be
//! exported by exactly one of the services that its manifest grants, in a form that fits. Pure.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use crate::config::ServiceName;
use crate::wasm::typed::{Bindings, Function, Interface, Mismatch};

/// Why a release can't go live among the others.
#[derive(Debug)]
pub(super) enum Disagreement {
    /// Nobody that it may call exports what it imports.
    Missing {
        importer: ServiceName,
        interface: Box<Interface>,
        /// Whom it may call.
        granted: BTreeSet<ServiceName>,
    },
    /// Several that it may call export it.
    Ambiguous {
        importer: ServiceName,
        interface: Arc<str>,
        providers: [ServiceName; 2],
    },
    /// What a service exports isn't what another imports.
    Unfit {
        importer: ServiceName,
        provider: ServiceName,
        mismatch: Mismatch,
    },
    /// A service doesn't export any more what another imports.
    Dropped {
        importer: ServiceName,
        provider: ServiceName,
        interface: Box<Interface>,
    },
}

impl Disagreement {
    /// The services whose next release may settle it.
    pub(super) fn others(&self, named: &ServiceName) -> BTreeSet<ServiceName> {
        let mut others: BTreeSet<_> = match self {
            Self::Missing {
                importer, granted, ..
            } => granted.iter().chain([importer]).cloned().collect(),
            Self::Ambiguous { providers, .. } => providers.iter().cloned().collect(),
            Self::Unfit {
                importer, provider, ..
            }
            | Self::Dropped {
                importer, provider, ..
            } => [importer, provider].into_iter().cloned().collect(),
        };
        others.remove(named);
        others
    }
}

impl Display for Disagreement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                importer,
                interface,
                granted,
            } => {
                write!(f, "{importer} imports {}", Named(interface))?;
                if granted.is_empty() {
                    write!(
                        f,
                        ", and its manifest grants it no service; grants.services = [\"NAME\"] names the one \
                         that exports it"
                    )
                } else {
                    let granted: Vec<_> = granted.iter().map(ServiceName::as_str).collect();
                    write!(
                        f,
                        ", which none of the services that its manifest grants exports, as far as they are live: {}",
                        granted.join(", ")
                    )
                }
            }
            Self::Ambiguous {
                importer,
                interface,
                providers: [one, other],
            } => write!(
                f,
                "{importer} imports {interface}, which both {one} and {other} export; grant it only one of them"
            ),
            Self::Unfit {
                importer,
                provider,
                mismatch,
            } => write!(
                f,
                "what {provider} exports is not what {importer} imports: {mismatch}"
            ),
            Self::Dropped {
                importer,
                provider,
                interface,
            } => write!(
                f,
                "{provider} no longer exports {}, which {importer} imports",
                Named(interface)
            ),
        }
    }
}

/// An interface with the names of its functions.
struct Named<'a>(&'a Interface);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = |function: &Function| format!("`{}`", function.name);
        let functions: Vec<_> = self.0.functions.iter().map(name).collect();
        write!(f, "{} ({})", self.0.name, functions.join(", "))
    }
}

/// Whether a service exports an interface: `None` if not in any version, or if it isn't there.
pub(super) type Serves<'a> = dyn Fn(&ServiceName, &Interface) -> Option<Result<(), Mismatch>> + 'a;

/// Finds the service for each interface that `importer` imports, among those that it may call.
///
/// # Errors
///
/// The first interface for which there isn't exactly one.
pub(super) fn bind(
    importer: &ServiceName,
    wanted: &[Interface],
    granted: &BTreeSet<ServiceName>,
    serves: &Serves<'_>,
) -> Result<Bindings, Disagreement> {
    let mut bindings = Bindings::new();
    for interface in wanted {
        let mut unfit = None;
        let mut fit = Vec::new();
        for provider in granted {
            match serves(provider, interface) {
                None => {}
                Some(Ok(())) => fit.push(provider),
                Some(Err(mismatch)) => unfit = unfit.or(Some((provider, mismatch))),
            }
        }
        match (fit[..].first_chunk(), fit.first(), unfit) {
            (Some([one, other]), ..) => {
                return Err(Disagreement::Ambiguous {
                    importer: importer.clone(),
                    interface: Arc::clone(&interface.name),
                    providers: [ServiceName::clone(one), ServiceName::clone(other)],
                });
            }
            (None, Some(one), _) => {
                bindings.insert(Arc::clone(&interface.name), ServiceName::clone(one));
            }
            (None, None, Some((provider, mismatch))) => {
                return Err(Disagreement::Unfit {
                    importer: importer.clone(),
                    provider: provider.clone(),
                    mismatch,
                });
            }
            (None, None, None) => {
                return Err(Disagreement::Missing {
                    importer: importer.clone(),
                    interface: Box::new(interface.clone()),
                    granted: granted.clone(),
                });
            }
        }
    }
    Ok(bindings)
}

/// Whether a new release of `provider` still is what `importer` was bound to.
///
/// # Errors
///
/// The first thing that isn't.
pub(super) fn keeps(
    provider: &ServiceName,
    importer: &ServiceName,
    wanted: &[Interface],
    bindings: &Bindings,
    serves: &Serves<'_>,
) -> Result<(), Disagreement> {
    let bound = wanted
        .iter()
        .filter(|interface| bindings.get(&interface.name) == Some(provider));
    for interface in bound {
        match serves(provider, interface) {
            Some(Ok(())) => {}
            Some(Err(mismatch)) => {
                return Err(Disagreement::Unfit {
                    importer: importer.clone(),
                    provider: provider.clone(),
                    mismatch,
                });
            }
            None => {
                return Err(Disagreement::Dropped {
                    importer: importer.clone(),
                    provider: provider.clone(),
                    interface: Box::new(interface.clone()),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::typed::{Type, satisfies};

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn interface(version: &str, result: &'static str) -> Interface {
        Interface {
            name: format!("acme:accounts/users@{version}").into(),
            functions: vec![Function {
                name: "find".into(),
                params: Vec::new(),
                result: Some(Type::Plain(result)),
                is_async: false,
            }],
        }
    }

    /// What `shop` is told, which imports one interface and may call `users`, `people` and `gone`, if the
    /// first two export these.
    fn shop(users: Option<&Interface>, people: Option<&Interface>) -> Result<Bindings, String> {
        let granted = ["users", "people", "gone"].map(name).into();
        let serves = |service: &ServiceName, wanted: &Interface| {
            let offered = match service.as_str() {
                "users" => users,
                "people" => people,
                _ => None,
            };
            offered.map(|offered| satisfies(offered, wanted))
        };
        let wanted = [interface("0.1.0", "u32")];
        bind(&name("shop"), &wanted, &granted, &serves).map_err(|error| error.to_string())
    }

    #[test]
    fn an_interface_is_bound_to_the_one_service_that_has_it() {
        let bound = shop(Some(&interface("0.1.2", "u32")), None).unwrap();
        assert_eq!(bound["acme:accounts/users@0.1.0"], name("users"));
        // one with another version is no second
        let (older, newer) = (interface("0.1.0", "u32"), interface("0.2.0", "u32"));
        let bound = shop(Some(&newer), Some(&older)).unwrap();
        assert_eq!(bound["acme:accounts/users@0.1.0"], name("people"));
    }

    #[test]
    fn a_refusal_names_all_that_is_to_be_known() {
        let says = |said: Result<Bindings, String>, words: &[&str]| {
            let said = said.unwrap_err();
            for word in words {
                assert!(said.contains(word), "{word}: {said}");
            }
        };
        let (good, bad) = (interface("0.1.0", "u32"), interface("0.1.0", "u64"));
        says(
            shop(None, None),
            &[
                "shop",
                "acme:accounts/users@0.1.0",
                "`find`",
                "gone, people, users",
            ],
        );
        says(
            shop(Some(&bad), None),
            &[
                "shop",
                "users",
                "acme:accounts/users@0.1.0",
                "`find`",
                "u64",
            ],
        );
        says(
            shop(Some(&good), Some(&good)),
            &["shop", "both people and users", "acme:accounts/users@0.1.0"],
        );
    }

    #[test]
    fn a_new_release_has_to_keep_what_others_were_bound_to() {
        let wanted = [interface("0.1.0", "u32")];
        let bindings = Bindings::from([(Arc::clone(&wanted[0].name), name("users"))]);
        let keeps = |provider: &str, offered: Option<Interface>| {
            let serves = |_: &ServiceName, wanted: &Interface| {
                offered.as_ref().map(|offered| satisfies(offered, wanted))
            };
            keeps(&name(provider), &name("shop"), &wanted, &bindings, &serves)
        };
        assert!(keeps("users", Some(interface("0.1.1", "u32"))).is_ok());
        assert!(keeps("other", None).is_ok(), "it is not bound to that one");
        let unfit = keeps("users", Some(interface("0.1.1", "u64"))).unwrap_err();
        assert!(matches!(unfit, Disagreement::Unfit { .. }), "{unfit}");
        let dropped = keeps("users", None).unwrap_err();
        assert!(matches!(dropped, Disagreement::Dropped { .. }), "{dropped}");
        assert_eq!(dropped.others(&name("users")), [name("shop")].into());
    }
}
