//! The throttle on failed logins: so many for one name within a window, and the name has to wait
//! for the window's end, also with the right password. It counts names that nobody has just as
//! well, or it would tell which exist.
//!
//! Anybody can make up names, so what is kept must not grow with them. All names fall on a fixed
//! number of pages by their digest; a page has room for a fixed number of names, and forgets those
//! whose window is over whenever it is written. If a page is full of names whose window is not,
//! further names on it wait too.
//!
//! A login looks here before it verifies, and counts after it has failed. The logins for one name
//! that run at the same moment can't see one another's failures, so there may be as many guesses
//! too many as the service has instances. Counting first instead would make a user's own
//! simultaneous logins lock them out.

use std::num::{NonZeroU32, NonZeroU64};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use accounts_core::store::{Store, StoreError};

const PREFIX: &str = "failures/";
const PAGES: u16 = 1024;
const NAMES_PER_PAGE: usize = 64;

/// How much is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How many failures a name has within one window before it must wait.
    pub(crate) max_failures: NonZeroU32,
    /// The window's length in seconds, from the first failure.
    pub(crate) window: NonZeroU32,
}

/// How a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There are no failures to forget.
    Clean,
    /// There are some; a login that succeeds should [`forgive`] them.
    Suspect,
    /// No login, for so many seconds.
    Blocked {
        /// At least one.
        retry_after: NonZeroU64,
    },
}

/// How the name folded to `name` stands at `now`.
pub(crate) fn standing(
    store: &impl Store,
    policy: Policy,
    name: &str,
    now: u64,
) -> Result<Standing, StoreError> {
    let place = Place::of(name);
    let page = Page::decode(store.get(&place.page)?.as_deref())?;
    Ok(page.standing(policy, &place.entry, now))
}

/// Counts a failed login.
pub(crate) fn record_failure(
    store: &impl Store,
    policy: Policy,
    name: &str,
    now: u64,
) -> Result<(), StoreError> {
    let place = Place::of(name);
    change(store, &place, now, |page| {
        page.fail(policy, &place.entry, now);
    })
}

/// Forgets a name's failures.
pub(crate) fn forgive(store: &impl Store, name: &str, now: u64) -> Result<(), StoreError> {
    let place = Place::of(name);
    change(store, &place, now, |page| {
        page.entries.retain(|entry| entry.name != place.entry);
    })
}

/// Changes one page, without what is out of date on it.
fn change(
    store: &impl Store,
    place: &Place,
    now: u64,
    mut apply: impl FnMut(&mut Page),
) -> Result<(), StoreError> {
    let mut damage = None;
    store.update(&place.page, |current| {
        let mut page = match Page::decode(current) {
            Ok(page) => page,
            Err(error) => {
                damage = Some(error);
                return None;
            }
        };
        page.entries.retain(|entry| now < entry.until);
        apply(&mut page);
        let encoded = serde_json::to_vec(&page);
        encoded
            .map_err(|error| damage = Some(StoreError::Other(error.to_string())))
            .ok()
    })?;
    damage.map_or(Ok(()), Err)
}

/// Where a name's failures are kept.
struct Place {
    page: String,
    entry: String,
}

impl Place {
    fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let page = u16::from_be_bytes([digest[0], digest[1]]) % PAGES;
        Self {
            page: format!("{PREFIX}{page}"),
            entry: Base64UrlUnpadded::encode_string(&digest[2..18]),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Page {
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// A part of the name's digest.
    name: String,
    failures: u32,
    /// The first moment at which the window is over, in Unix seconds.
    until: u64,
}

impl Page {
    fn decode(value: Option<&[u8]>) -> Result<Self, StoreError> {
        value.map_or(Ok(Self::default()), |value| {
            serde_json::from_slice(value).map_err(|error| StoreError::Damaged {
                prefix: PREFIX,
                reason: error.to_string(),
            })
        })
    }

    fn standing(&self, policy: Policy, name: &str, now: u64) -> Standing {
        let live = || self.entries.iter().filter(|entry| now < entry.until);
        let (failures, until) = match live().find(|entry| entry.name == name) {
            Some(entry) => (entry.failures, Some(entry.until)),
            None if live().count() < NAMES_PER_PAGE => return Standing::Clean,
            None => (u32::MAX, live().map(|entry| entry.until).min()),
        };
        if failures < policy.max_failures.get() {
            return Standing::Suspect;
        }
        let wait = until.unwrap_or(now).saturating_sub(now);
        Standing::Blocked {
            retry_after: NonZeroU64::new(wait).unwrap_or(NonZeroU64::MIN),
        }
    }

    /// Counts one failure, on a page with nothing out of date on it.
    fn fail(&mut self, policy: Policy, name: &str, now: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == name) {
            entry.failures = entry.failures.saturating_add(1);
        } else if self.entries.len() < NAMES_PER_PAGE {
            let until = now.saturating_add(policy.window.get().into());
            self.entries.push(Entry {
                name: name.to_owned(),
                failures: 1,
                until,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts_core::memory::MemoryStore;

    const POLICY: Policy = Policy {
        max_failures: NonZeroU32::new(3).unwrap(),
        window: NonZeroU32::new(300).unwrap(),
    };

    fn fail(store: &MemoryStore, name: &str, now: u64) {
        record_failure(store, POLICY, name, now).unwrap();
    }

    fn at(store: &MemoryStore, name: &str, now: u64) -> Standing {
        standing(store, POLICY, name, now).unwrap()
    }

    fn blocked(seconds: u64) -> Standing {
        Standing::Blocked {
            retry_after: NonZeroU64::new(seconds).unwrap(),
        }
    }

    #[test]
    fn a_name_waits_for_the_windows_end_after_too_many_failures() {
        let store = MemoryStore::default();
        assert_eq!(at(&store, "alice", 1000), Standing::Clean);
        fail(&store, "alice", 1000);
        fail(&store, "alice", 1100);
        assert_eq!(at(&store, "alice", 1100), Standing::Suspect);
        fail(&store, "alice", 1200);
        assert_eq!(at(&store, "alice", 1200), blocked(100));
        assert_eq!(at(&store, "alice", 1299), blocked(1));
        assert_eq!(at(&store, "alice", 1300), Standing::Clean);
    }

    #[test]
    fn a_new_window_begins_with_a_new_count() {
        let store = MemoryStore::default();
        for now in [1000, 1001, 1300] {
            fail(&store, "alice", now);
        }
        assert_eq!(at(&store, "alice", 1300), Standing::Suspect);
    }

    #[test]
    fn one_names_failures_are_not_anothers() {
        let store = MemoryStore::default();
        for _ in 0..3 {
            fail(&store, "alice", 1000);
        }
        assert_eq!(at(&store, "bob", 1000), Standing::Clean);
    }

    #[test]
    fn forgiving_forgets_one_name_only() {
        let store = MemoryStore::default();
        let (one, other) = two_names_of_one_page();
        for name in [&one, &other] {
            fail(&store, name, 1000);
        }
        forgive(&store, &one, 1000).unwrap();
        assert_eq!(at(&store, &one, 1000), Standing::Clean);
        assert_eq!(at(&store, &other, 1000), Standing::Suspect);
    }

    #[test]
    fn failures_at_the_same_time_all_count() {
        let store = MemoryStore::default();
        store.before_next_swap(|store| fail(store, "alice", 1000));
        fail(&store, "alice", 1000);
        fail(&store, "alice", 1000);
        assert_eq!(at(&store, "alice", 1000), blocked(300));
    }

    #[test]
    fn a_page_has_room_for_so_many_names_and_no_more() {
        let store = MemoryStore::default();
        let names = names_of_one_page(NAMES_PER_PAGE + 1);
        let (late, early) = names.split_last().unwrap();
        for name in early {
            fail(&store, name, 1000);
        }
        assert_eq!(
            at(&store, late, 1100),
            blocked(200),
            "a full page lets nobody guess uncounted"
        );
        let size = |store: &MemoryStore| store.dump()[0].1.len();
        let full = size(&store);
        fail(&store, late, 1100);
        assert!(size(&store) <= full);
        assert_eq!(at(&store, late, 1300), Standing::Clean);
        fail(&store, late, 1300);
        assert!(size(&store) < full / 32, "what is out of date is forgotten");
    }

    #[test]
    fn the_names_themselves_are_not_stored() {
        let store = MemoryStore::default();
        fail(&store, "alice", 1000);
        for (key, value) in store.dump() {
            assert!(!key.contains("alice") && !String::from_utf8(value).unwrap().contains("alice"));
        }
    }

    fn names_of_one_page(count: usize) -> Vec<String> {
        let page = Place::of("name0").page;
        let names = (0..).map(|n| format!("name{n}"));
        names
            .filter(|name| Place::of(name).page == page)
            .take(count)
            .collect()
    }

    fn two_names_of_one_page() -> (String, String) {
        let mut names = names_of_one_page(2).into_iter();
        (names.next().unwrap(), names.next().unwrap())
    }
}
