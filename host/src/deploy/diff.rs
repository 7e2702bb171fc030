//! What is to be done, from what the directory holds and what runs. Pure.

use std::collections::BTreeMap;

use super::fingerprint::Fingerprint;
use super::scan::Found;
use crate::config::ServiceName;

/// What the controller knows of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// What serves.
    pub running: Option<Fingerprint>,
    /// The last content that was taken or refused.
    pub judged: Option<Fingerprint>,
    /// Releases that are on their way: ordered, and neither live nor refused.
    pub preparing: u32,
    /// Its files are gone and its last release finishes.
    pub leaving: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Prepare a release from the files.
    Deploy(ServiceName),
    /// The files are again those that run: a refusal is no longer of interest.
    Settle(ServiceName),
    /// The files are gone.
    Remove(ServiceName),
}

/// The steps from what is known to what was found. A service that is being prepared, or whose files
/// are still being written, is left for the next look.
pub(super) fn diff(found: &Found, known: &BTreeMap<&ServiceName, &Known>) -> Vec<Step> {
    let unknown = Known::default();
    let mut steps = Vec::new();
    for (name, sighting) in &found.settled {
        let known = known.get(name).copied().unwrap_or(&unknown);
        let same = |other: &Option<Fingerprint>| other.as_ref() == Some(&sighting.fingerprint);
        if known.preparing > 0 {
            continue;
        }
        if same(&known.running) {
            if !same(&known.judged) {
                steps.push(Step::Settle(name.clone()));
            }
        } else if !same(&known.judged) {
            steps.push(Step::Deploy(name.clone()));
        }
    }
    for (name, known) in known {
        let there = found.has(name);
        if !there && known.preparing == 0 && !known.leaving {
            steps.push(Step::Remove(ServiceName::clone(name)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::fingerprint::Stamp;
    use super::super::scan::Sighting;
    use super::*;

    fn print(number: u8) -> Fingerprint {
        Fingerprint {
            component: number.to_string().into(),
            manifest: None,
        }
    }

    fn sighting(number: u8) -> Sighting {
        Sighting {
            fingerprint: print(number),
            stamp: Stamp::of(Path::new("/")).unwrap(),
        }
    }

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn one(settled: Option<u8>, known: impl Into<Option<Known>>) -> Vec<Step> {
        let found = Found {
            settled: settled
                .map(|number| (name("a"), sighting(number)))
                .into_iter()
                .collect(),
            ..Found::default()
        };
        let (name, known) = (name("a"), known.into());
        diff(&found, &known.iter().map(|known| (&name, known)).collect())
    }

    fn known(running: Option<u8>, judged: Option<u8>) -> Known {
        Known {
            running: running.map(print),
            judged: judged.map(print),
            ..Known::default()
        }
    }

    #[test]
    fn the_table_of_cases() {
        let (deploy, settle, remove) = (
            vec![Step::Deploy(name("a"))],
            vec![Step::Settle(name("a"))],
            vec![Step::Remove(name("a"))],
        );
        assert_eq!(one(Some(1), None), deploy, "new");
        assert_eq!(one(Some(2), known(Some(1), Some(1))), deploy, "changed");
        assert_eq!(one(Some(1), known(Some(1), Some(1))), [], "unchanged");
        assert_eq!(one(Some(2), known(Some(1), Some(2))), [], "refused before");
        assert_eq!(
            one(Some(1), known(Some(1), Some(2))),
            settle,
            "a bad file was taken back"
        );
        assert_eq!(
            one(Some(3), known(None, Some(2))),
            deploy,
            "a refused one was mended"
        );
        assert_eq!(one(None, known(Some(1), Some(1))), remove, "gone");
        assert_eq!(
            one(None, known(None, Some(1))),
            remove,
            "a refused one is gone"
        );
    }

    #[test]
    fn what_is_being_written_or_prepared_is_left_alone() {
        let running = known(Some(1), Some(1));
        for found in [
            Found {
                unsettled: BTreeSet::from([name("a")]),
                ..Found::default()
            },
            Found {
                unreadable: BTreeSet::from([name("a")]),
                ..Found::default()
            },
        ] {
            assert_eq!(diff(&found, &BTreeMap::from([(&name("a"), &running)])), []);
        }
        let preparing = Known {
            preparing: 1,
            ..running.clone()
        };
        assert_eq!(one(Some(2), Some(preparing.clone())), []);
        assert_eq!(one(None, Some(preparing)), []);
        assert_eq!(
            one(
                None,
                Some(Known {
                    leaving: true,
                    ..running
                })
            ),
            []
        );
    }

    proptest! {
        #[test]
        fn a_carried_out_plan_leaves_nothing_to_do(settled in prop::option::of(0u8..3), running in prop::option::of(0u8..3), judged in prop::option::of(0u8..3)) {
            let mut state = known(running, judged);
            match one(settled, Some(state.clone())).first() {
                Some(Step::Deploy(_)) => { state.running = settled.map(print); state.judged = settled.map(print); }
                Some(Step::Settle(_)) => state.judged = settled.map(print),
                Some(Step::Remove(_)) => return Ok(()),
                None => {}
            }
            prop_assert_eq!(one(settled, Some(state)), []);
        }
    }
}
