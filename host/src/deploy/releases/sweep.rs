//! Forgets services whose files have been gone for long.
//!
//! A service that is removed keeps its releases for when it comes back. But names can be many, one
//! for each branch of a repository say, and each has its last components; so they are bounded in
//! number and in age. The age counts from when the files were first seen gone, not from the last
//! deploy, which may be a year ago.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::folder::Folder;
use super::record::whole_milliseconds;
use super::{Error, Releases};
use crate::config::ServiceName;

/// So long a service that is gone keeps its releases.
const LONGEST: Duration = Duration::from_hours(90 * 24);

/// So many services that are gone keep their releases.
const MOST: usize = 1000;

impl Releases {
    /// Notes which services have files and which no longer do, and forgets those that have had none
    /// for 90 days, and the ones that are gone for longest of more than 1,000. To be called now and
    /// then, with all services that have files: not before the services directory was read whole.
    /// How many were forgotten.
    ///
    /// # Errors
    ///
    /// The store can't be used. A service that can't be forgotten is tried again the next time.
    pub fn sweep(&self, present: &BTreeSet<ServiceName>, now: SystemTime) -> Result<usize, Error> {
        let top = Folder::open(&self.path)?;
        let now = whole_milliseconds(now);
        let mut gone = Vec::new();
        for (name, place) in self.shelves() {
            let mut change = place.change(&top);
            if change.index.is_blank() {
                continue;
            }
            let since = change.index.gone_since;
            change.index.gone_since = (!present.contains(&name)).then(|| since.unwrap_or(now));
            if let Some(since) = change.index.gone_since {
                gone.push((since, name.clone()));
            }
            if let Err(error) = change.commit() {
                warn!(service = %name, %error, "it can't be noted whether a service is gone");
            }
        }
        let mut forgotten = 0;
        for name in due(gone, now, MOST) {
            let Some(place) = self.shelf(&name) else {
                continue;
            };
            let change = place.change(&top);
            // it may have come back just now
            if change.index.gone_since.is_none() {
                continue;
            }
            match change.clear() {
                Ok(()) => {
                    forgotten += 1;
                    info!(service = %name, "the releases of a service that is gone for long are removed");
                }
                Err(error) => {
                    warn!(service = %name, %error, "the releases of a service that is gone can't be removed");
                }
            }
        }
        Ok(forgotten)
    }
}

/// Which services are forgotten, of those that are gone since then.
fn due(mut gone: Vec<(SystemTime, ServiceName)>, now: SystemTime, most: usize) -> Vec<ServiceName> {
    gone.sort_unstable();
    let surplus = gone.len().saturating_sub(most);
    let due = gone.into_iter().enumerate().filter(|(place, (since, _))| {
        let age = now.duration_since(*since).unwrap_or_default();
        *place < surplus || age >= LONGEST
    });
    due.map(|(_, (_, name))| name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::from_milliseconds;
    use super::*;

    #[test]
    fn the_old_go_and_the_oldest_of_too_many() {
        let day = |day: u64| from_milliseconds(day * 24 * 3600 * 1000);
        let gone = |days: &[u64]| {
            let days = days.iter();
            days.map(|d| (day(*d), format!("s{d}").parse().unwrap()))
                .collect::<Vec<_>>()
        };
        let due = |gone, now, most| {
            let due = due(gone, day(now), most).into_iter();
            due.map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(due(gone(&[100, 12, 11, 10]), 101, 9), ["s10", "s11"]);
        assert_eq!(due(gone(&[100, 12, 11, 10]), 12, 3), ["s10"]);
        let none: [String; 0] = [];
        assert_eq!(due(gone(&[100]), 1, 1), none, "the clock was set back");
    }
}
