//! The releases of one service and what was decided about it. Pure.
//!
//! Records are in the order in which they were last accepted. Each knows which one it came after
//! ([`Record::before`]), so a rollback goes from a release to the one that was live when it was
//! accepted, and repeated ones step back further: from 8 to 7 to 6. A new release that is accepted
//! then comes after 6, and it is 6 that a rollback from it goes to, not 8, which was left on
//! purpose. A release that is accepted again leaves its place, and those that came after it move
//! up. So `before` always names a record further up in the order, and there is an end to it.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::super::fingerprint::Fingerprint;
use super::record::{Pin, Record, State, Why, component_file, manifest_file, whole_milliseconds};

/// Revisions that are left out where it isn't known which were used.
pub(super) const GAP: u64 = 1000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// The next revision.
    pub next: u64,
    /// The operator holds deploys.
    pub frozen: bool,
    /// As long as it is there, the release it names is live.
    pub pin: Option<Pin>,
    /// Since when the service has no files, as far as that was noticed.
    pub gone_since: Option<SystemTime>,
    /// In the order in which they were last accepted.
    pub records: Vec<Record>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            next: 1,
            frozen: false,
            pin: None,
            gone_since: None,
            records: Vec::new(),
        }
    }
}

impl Index {
    /// An index of which nothing can be read.
    pub(super) fn lost() -> Self {
        Self {
            next: 1 + GAP,
            ..Self::default()
        }
    }

    /// The release with this revision.
    pub(super) fn get(&self, revision: u64) -> Option<&Record> {
        self.records.iter().find(|r| r.revision == revision)
    }

    fn get_mut(&mut self, revision: u64) -> Option<&mut Record> {
        self.records.iter_mut().find(|r| r.revision == revision)
    }

    /// The release with this content.
    pub(super) fn of(&self, content: &Fingerprint) -> Option<&Record> {
        self.records.iter().find(|r| r.content == *content)
    }

    /// The release that serves.
    pub(super) fn live(&self) -> Option<&Record> {
        self.records.iter().find(|r| r.state == State::Live)
    }

    /// The nearest one that this release came after and that can be gone back to.
    pub(super) fn previous(&self, revision: u64) -> Option<&Record> {
        let mut record = self.get(revision)?;
        // no more steps than there are records
        for _ in &self.records {
            record = self.get(record.before?)?;
            if record.is_good() {
                return Some(record);
            }
        }
        None
    }

    /// A release came out of the services directory. Its revision, which is that of a former
    /// release if the content is the same. What is live already stays live.
    pub(super) fn accept(
        &mut self,
        content: &Fingerprint,
        size_bytes: u64,
        state: State,
        at: SystemTime,
    ) -> u64 {
        self.gone_since = None;
        let known = self.of(content).map(|r| (r.revision, r.state));
        let revision = known.map_or(self.next, |(revision, _)| revision);
        // what waited, or was tried, is no longer what lies in the directory
        let over: &[State] = match state {
            State::Live => &[State::Canary, State::Held],
            State::Canary | State::Held => &[State::Held],
            State::Kept | State::TakenBack => &[],
        };
        for other in &mut self.records {
            if other.revision != revision && over.contains(&other.state) {
                other.state = State::Kept;
            }
        }
        if state == State::Live {
            self.pin = None;
        }
        match known {
            Some((_, State::Live)) => return revision,
            Some((_, known)) if known == state => return revision,
            Some(_) => {}
            None => {
                self.next = self.next.saturating_add(1);
                self.records.push(Record {
                    revision,
                    content: content.clone(),
                    size_bytes,
                    accepted_at: at,
                    state: State::Kept,
                    note: None,
                    before: None,
                });
            }
        }
        if known.is_none() || state == State::Live {
            self.put_last(revision);
        }
        self.enter(revision, state);
        if let Some(record) = self.get_mut(revision) {
            record.accepted_at = whole_milliseconds(at);
            record.size_bytes = size_bytes;
            record.note = None;
        }
        revision
    }

    /// Gives a release another state. `false` if there is no such release.
    pub(super) fn mark(&mut self, revision: u64, state: State, note: Option<String>) -> bool {
        let Some(record) = self.get_mut(revision) else {
            return false;
        };
        let waited = matches!(record.state, State::Canary | State::Held);
        record.note = note;
        if waited && state == State::Live {
            // now it is accepted; what is live may be another one than it was
            self.put_last(revision);
        }
        self.enter(revision, state);
        true
    }

    /// From now on the service runs `pin.run`. What was live, or tried, is kept, or taken back if it
    /// is the host that decided. `false` if there is no such release.
    pub(super) fn pin(&mut self, pin: Pin) -> bool {
        let Some(run) = self.get_mut(pin.run) else {
            return false;
        };
        if run.state == State::TakenBack {
            run.note = None;
        }
        for other in self.records.iter_mut().filter(|r| r.revision != pin.run) {
            let tried = other.state == State::Canary && other.content == pin.seen;
            if !tried && other.state != State::Live {
                continue;
            }
            match pin.why {
                Why::Operator | Why::Held => other.state = State::Kept,
                Why::TakenBack => {
                    other.state = State::TakenBack;
                    other.note = Some(pin.reason.clone());
                }
            }
        }
        self.enter(pin.run, State::Live);
        let at = whole_milliseconds(pin.at);
        self.pin = Some(Pin { at, ..pin });
        true
    }

    /// Removes the oldest records until so many are left. Those that are in use stay, and `fresh`,
    /// and the one that a rollback goes to.
    pub(super) fn prune(&mut self, keep: usize, fresh: Option<u64>) {
        let live = self.live().map(|r| r.revision);
        let good = live
            .and_then(|live| self.previous(live))
            .map(|r| r.revision);
        let spared =
            |r: &Record| r.is_in_use() || Some(r.revision) == good || Some(r.revision) == fresh;
        while self.records.len() > keep
            && let Some(oldest) = self.records.iter().position(|r| !spared(r))
        {
            let removed = self.records.remove(oldest);
            self.close_gap(removed.revision, removed.before);
        }
    }

    /// Names of the files that records need.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let components = self.records.iter().map(|r| &r.content.component);
        let manifests = self.records.iter();
        let manifests = manifests.filter_map(|r| r.content.manifest.as_ref());
        components
            .map(component_file)
            .chain(manifests.map(manifest_file))
            .collect()
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        self.records.is_empty() && !self.frozen && self.pin.is_none()
    }

    /// Makes what was read what this module would have made. Nothing changes in what it has made.
    pub(super) fn repair(&mut self) {
        let mut sound: Vec<Record> = Vec::new();
        // where two say the same, the newer one is believed
        for record in self.records.drain(..).rev() {
            let double = |r: &Record| r.revision == record.revision || r.content == record.content;
            if record.revision > 0 && record.revision < u64::MAX && !sound.iter().any(double) {
                sound.push(record);
            }
        }
        for state in [State::Live, State::Canary, State::Held] {
            for other in sound.iter_mut().filter(|r| r.state == state).skip(1) {
                other.state = State::Kept;
            }
        }
        sound.reverse();
        let mut above = BTreeSet::new();
        for record in &mut sound {
            record.before = record.before.filter(|before| above.contains(before));
            above.insert(record.revision);
        }
        self.records = sound;
        self.next = above.last().map_or(1, |r| r + 1).max(self.next);
        let live = self.live().map(|r| r.revision);
        self.pin = self.pin.take().filter(|pin| Some(pin.run) == live);
    }

    /// Puts a release after the one that is live, or was last.
    fn put_last(&mut self, revision: u64) {
        let Some(place) = self.records.iter().position(|r| r.revision == revision) else {
            return;
        };
        let mut record = self.records.remove(place);
        self.close_gap(revision, record.before);
        let newest = || self.records.iter().rev().find(|r| r.state == State::Kept);
        record.before = self.live().or_else(newest).map(|r| r.revision);
        self.records.push(record);
    }

    /// Those that came after a release which is no longer there come after what that came after.
    fn close_gap(&mut self, revision: u64, before: Option<u64>) {
        for record in &mut self.records {
            if record.before == Some(revision) {
                record.before = before;
            }
        }
    }

    /// Gives a release a state. Who had it makes room, if there can be only one.
    fn enter(&mut self, revision: u64, state: State) {
        let one = matches!(state, State::Live | State::Canary | State::Held);
        for record in &mut self.records {
            if record.revision == revision {
                record.state = state;
            } else if one && record.state == state {
                record.state = State::Kept;
            }
        }
        let live = self.live().map(|r| r.revision);
        self.pin = self.pin.take().filter(|pin| Some(pin.run) == live);
    }
}
