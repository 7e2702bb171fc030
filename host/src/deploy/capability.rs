//! What a component can do nothing with unless it is granted, and what of that is new in a release.
//! Pure.

use std::collections::BTreeSet;

use crate::config::Grants;
use crate::wasm::Facts;

/// An import that does nothing useful without a grant.
pub(crate) struct Need {
    /// Beginnings of interface names.
    interfaces: &'static [&'static str],
    /// The key of the manifest that grants it.
    pub(crate) key: &'static str,
    /// What is granted.
    pub(crate) what: &'static str,
    /// What a call comes to if nothing is granted.
    pub(crate) without: &'static str,
    /// Compilers import it whether the guest uses it or not.
    unasked: bool,
    /// What is granted, without values that may be secret.
    pub(crate) given: fn(&Grants) -> Vec<String>,
}

/// All of them.
pub(crate) const NEEDS: [Need; 7] = [
    Need {
        interfaces: &["wasi:keyvalue/"],
        key: "grants.keyvalue",
        what: "buckets",
        without: "opening one is refused",
        unasked: false,
        given: |grants| grants.keyvalue.iter().cloned().collect(),
    },
    Need {
        interfaces: &["wasi:config/"],
        key: "grants.config",
        what: "settings",
        without: "every key is missing",
        unasked: false,
        given: |grants| grants.config.keys().cloned().collect(),
    },
    Need {
        interfaces: OUTBOUND,
        key: "grants.http",
        what: "outbound hosts",
        without: "outbound requests are refused",
        unasked: false,
        given: |grants| grants.http.iter().map(ToString::to_string).collect(),
    },
    Need {
        interfaces: OUTBOUND,
        key: "grants.services",
        what: "services",
        without: "calls are refused",
        unasked: false,
        given: |grants| grants.services.iter().map(ToString::to_string).collect(),
    },
    Need {
        interfaces: &["wasi:cli/environment@"],
        key: "grants.env",
        what: "environment variables",
        without: "as is usual: compilers import this unasked",
        unasked: true,
        given: |grants| grants.env.keys().cloned().collect(),
    },
    Need {
        interfaces: &["wasi:sockets/"],
        key: "(no grant)",
        what: "sockets",
        without: "every call is refused; some compilers import this unasked",
        unasked: true,
        given: |_| Vec::new(),
    },
    Need {
        interfaces: &["wasi:filesystem/"],
        key: "(no grant)",
        what: "files",
        without: "as always: there are no directories; compilers import this unasked",
        unasked: true,
        given: |_| Vec::new(),
    },
];

/// Requests to other hosts, and to other services by name.
const OUTBOUND: &[&str] = &["wasi:http/outgoing-handler@", "wasi:http/client@"];

impl Need {
    /// Whether a component imports it.
    pub(crate) fn is_wanted_by(&self, facts: &Facts) -> bool {
        facts.imports.iter().any(|name| self.covers(name))
    }

    fn covers(&self, import: &str) -> bool {
        let mut interfaces = self.interfaces.iter();
        interfaces.any(|interface| import.starts_with(interface))
    }
}

/// The interfaces that a release imports though it is granted nothing of their kind, and though the
/// one that it is to replace imports none of that kind. Another version of an interface is no other
/// kind.
pub(super) fn added(before: &Facts, after: &Facts, grants: &Grants) -> Vec<String> {
    let is_new = |import: &&String| {
        let mut needs = NEEDS.iter().filter(|need| need.covers(import)).peekable();
        needs.peek().is_some()
            && needs.all(|need| {
                !need.unasked && !need.is_wanted_by(before) && (need.given)(grants).is_empty()
            })
    };
    let new: BTreeSet<_> = after.imports.iter().filter(is_new).cloned().collect();
    new.into_iter().collect()
}

/// The keys of the manifest that would grant these interfaces.
pub(super) fn keys(interfaces: &[String]) -> Vec<&'static str> {
    let wanted = |need: &&Need| interfaces.iter().any(|interface| need.covers(interface));
    NEEDS.iter().filter(wanted).map(|need| need.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(imports: &[&str]) -> Facts {
        Facts {
            imports: imports.iter().map(ToString::to_string).collect(),
            exports: Vec::new(),
        }
    }

    const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
    const CLIENT: &str = "wasi:http/outgoing-handler@0.2.3";

    #[test]
    fn what_is_new_and_not_granted_is_told() {
        let (before, after) = (facts(&["wasi:http/types@0.2.0"]), facts(&[STORE, CLIENT]));
        let mut grants = Grants::default();
        assert_eq!(added(&before, &after, &grants), [CLIENT, STORE]);
        assert_eq!(
            keys(&added(&before, &after, &grants)),
            ["grants.keyvalue", "grants.http", "grants.services"]
        );
        grants.keyvalue.insert("users".into());
        assert_eq!(added(&before, &after, &grants), [CLIENT]);
        // either grant makes use of it
        grants.services.insert("accounts".parse().unwrap());
        assert_eq!(added(&before, &after, &grants), [""; 0]);
    }

    #[test]
    fn what_was_imported_before_is_not_new_in_another_version_either() {
        let before = facts(&[STORE, "wasi:http/outgoing-handler@0.2.0"]);
        let after = facts(&["wasi:keyvalue/atomics@0.2.0-draft2", CLIENT]);
        assert_eq!(added(&before, &after, &Grants::default()), [""; 0]);
    }

    #[test]
    fn what_compilers_import_unasked_is_nobodys_wish() {
        let after = facts(&[
            "wasi:filesystem/types@0.2.3",
            "wasi:cli/environment@0.2.3",
            "wasi:sockets/tcp@0.2.3",
            "wasi:clocks/wall-clock@0.2.3",
            "shop:prices/list@1.0.0",
        ]);
        assert_eq!(added(&facts(&[]), &after, &Grants::default()), [""; 0]);
    }
}
