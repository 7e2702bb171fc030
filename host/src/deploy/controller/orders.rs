//! What an operator wants of the controller.

use std::sync::Arc;
use std::time::SystemTime;

use super::entry::Entry;
use super::{Controller, Ended};
use crate::config::ServiceName;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::operator::{Order, Outcome, Progress, Refusal, Reply};
use crate::deploy::prepare::{self, Origin, prepare};
use crate::deploy::releases::{Pin, Why};
use crate::service::Release;
use crate::telemetry::events::{Event, Kind};

impl Controller {
    /// Carries out an order. `true` if the directory has to be looked at.
    pub(super) fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Expect(name, content, reply) => self.expect(&name, content, reply),
            Order::Rollback(name, wanted, reply) => {
                self.roll_back(&name, wanted.as_deref(), reply);
                false
            }
            Order::Hold(name, reply) => {
                // who has gone doesn't want to know
                let _ = reply.send(self.hold(&name));
                false
            }
            Order::Resume(name, reply) => self.resume(&name, reply),
        }
    }

    /// Files were just written, and their operator waits. What was refused before is judged again.
    fn expect(&mut self, name: &ServiceName, content: Fingerprint, reply: Reply) -> bool {
        let entry = self.entry(name.clone());
        let reached = match (&entry.tried, &entry.live) {
            (Some(tried), _) if tried.is_of(&content) => Some((tried.info(), Progress::Canary)),
            (None, Some(live)) if entry.known.running.as_ref() == Some(&content) => {
                Some((&*live.info, Progress::Live))
            }
            _ => None,
        };
        if let Some((release, progress)) = reached {
            let _ = reply.send(Ok(Outcome::of(release, progress)));
            return true;
        }
        if entry.known.judged.as_ref() == Some(&content) {
            entry.known.judged = None;
        }
        // who lays in what was gone back from wants it
        let holds = |pin: &Pin| pin.holds(&content);
        let lift = !entry.frozen && entry.pin.as_ref().is_some_and(holds);
        if lift {
            entry.known.judged = None;
            entry.pin = None;
        }
        entry.wait(Some(content), reply);
        if lift {
            self.workshop.archive.unpin(name);
        }
        true
    }

    /// Rolls back to a release, or to the one before.
    fn roll_back(&mut self, name: &ServiceName, wanted: Option<&str>, reply: Reply) {
        let Some(entry) = self.entries.get_mut(name) else {
            let _ = reply.send(Err(unknown(name)));
            return;
        };
        let live = entry.live.clone();
        let running = live.as_ref().map(|live| live.info.revision);
        if entry.known.preparing > 0 {
            let message =
                format!("a release of {name} is on its way; try again when it is decided");
            let _ = reply.send(Err(Refusal::Conflict(message)));
            return;
        }
        if wanted.is_none() && entry.tried.is_some() {
            self.end_trial(name, reply);
            return;
        }
        let record = match self.workshop.archive.choose(name, wanted, running) {
            Ok(record) => record,
            Err(error) => {
                let _ = reply.send(Err(Refusal::NotFound(format!("{error:#}"))));
                return;
            }
        };
        if let Some(live) = live.filter(|live| live.info.revision == record.revision) {
            if entry.tried.is_some() {
                self.end_trial(name, reply);
            } else {
                let _ = reply.send(Ok(Outcome::of(&live.info, Progress::Live)));
            }
            return;
        }
        self.end_canary(name, "the operator went back to another release");
        if let Some(entry) = self.entries.get_mut(name) {
            entry.wait(None, reply);
        }
        let message = format!("an operator rolls back to release {}", record.revision);
        self.tell(Event::of(Kind::Operator).service(name).say(message));
        self.order(name, Origin::Kept(record.revision));
    }

    /// The operator goes back from a release that is only being tried to the one that runs.
    fn end_trial(&mut self, name: &ServiceName, reply: Reply) {
        self.end_canary(name, "the operator went back to the running release");
        let Some(live) = self.entries.get(name).and_then(|entry| entry.live.clone()) else {
            let _ = reply.send(Err(unknown(name)));
            return;
        };
        self.pin_to(name, &live);
        let message = format!("an operator stays with release {}", live.info.revision);
        self.tell(Event::of(Kind::Operator).service(name).say(message));
        let _ = reply.send(Ok(Outcome::of(&live.info, Progress::Live)));
    }

    /// A release that is kept runs in place of the files, as long as those stay as they are.
    pub(super) fn pin_to(&mut self, name: &ServiceName, release: &Release) {
        let seen = self
            .found
            .settled
            .get(name)
            .map(|seen| seen.fingerprint.clone());
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let Some(seen) = seen else { return };
        if entry.first {
            return;
        }
        let run = release.info.revision;
        let is_of_others =
            |pin: &Pin| pin.why == Why::TakenBack && pin.run == run && !pin.holds(&seen);
        if entry.pin.as_ref().is_some_and(is_of_others) {
            // what was taken back is no longer what the files have, and they have done nothing wrong
            entry.known.judged = None;
            return;
        }
        if entry.forced.as_ref() == Some(&seen) {
            // the operator wants the files meanwhile
            return;
        }
        entry.known.judged = Some(seen.clone());
        // that it was the host who held something, or took it back, stays known
        let is_known = |pin: &Pin| pin.holds(&seen) && pin.why != Why::Operator && pin.run == run;
        if entry.pin.as_ref().is_some_and(is_known) || (entry.frozen && entry.service.is_held()) {
            return;
        }
        if entry.known.running.as_ref() == Some(&seen) {
            self.settle_pin(name);
            return;
        }
        let pin = Pin {
            seen,
            run,
            why: Why::Operator,
            taken_back: None,
            reason: format!(
                "release {run} runs since an operator went back to it; take the files: wharf resume {name}"
            ),
            at: SystemTime::now(),
        };
        self.keep_pin(name, pin);
        if let Some(entry) = self.entries.get(name) {
            entry.service.note(|notes| notes.taken_back = None);
            entry.show_pin();
        }
    }

    fn hold(&mut self, name: &ServiceName) -> Result<(), Refusal> {
        let entry = self.entries.get_mut(name).ok_or_else(|| unknown(name))?;
        entry.forced = None;
        if !std::mem::replace(&mut entry.frozen, true) {
            entry.service.note(|notes| notes.frozen = true);
            self.workshop.archive.freeze(name, true);
            let event = Event::of(Kind::Held).service(name);
            self.tell(event.say("an operator holds the deploys of this service"));
        }
        Ok(())
    }

    fn resume(&mut self, name: &ServiceName, reply: Reply) -> bool {
        let Some(entry) = self.entries.get_mut(name) else {
            let _ = reply.send(Err(unknown(name)));
            return false;
        };
        let was_frozen = std::mem::replace(&mut entry.frozen, false);
        let mut waits = false;
        entry.service.note(|notes| {
            notes.frozen = false;
            waits = notes.held.is_some();
        });
        let found = self.found.settled.get(name).map(|found| &found.fingerprint);
        if let Some(pin) = &entry.pin {
            // the files wait since another release runs in their place; to end a hold is not to end that
            waits = !was_frozen || !found.is_some_and(|found| pin.holds(found));
        }
        if was_frozen {
            self.workshop.archive.freeze(name, false);
        }
        if was_frozen || waits {
            let event = Event::of(Kind::Resumed).service(name);
            self.tell(event.say("an operator lets the deploys of this service go on"));
        }
        let Some(entry) = self.entries.get_mut(name) else {
            return false;
        };
        if waits {
            entry.forced = found.cloned();
            entry.known.judged = None;
            entry.wait(found.cloned(), reply);
            return true;
        }
        let _ = reply.send(match &entry.live {
            Some(live) => Ok(Outcome::of(&live.info, Progress::Live)),
            None => Ok(Outcome {
                service: name.to_string(),
                state: Progress::Live,
                revision: 0,
                digest: String::new(),
            }),
        });
        false
    }

    /// Has a release made.
    pub(super) fn order(&mut self, name: &ServiceName, origin: Origin) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.known.preparing += 1;
        entry.known.leaving = false;
        let forced = match &origin {
            Origin::Files(seen) => entry.forced.as_ref() == Some(&seen.fingerprint),
            Origin::Kept(_) => false,
        };
        let order = prepare::Order {
            service: Arc::clone(&entry.service),
            forced,
            ran: entry.ran(),
            replaces: entry.facts.clone(),
            origin,
        };
        let work = prepare(Arc::clone(&self.workshop), order);
        self.tasks.spawn(async move { Ended::Judged(work.await) });
    }

    /// What is kept of a service, from now on if nothing was.
    pub(super) fn entry(&mut self, name: ServiceName) -> &mut Entry {
        let (ledger, archive) = (&self.workshop.ledger, &self.workshop.archive);
        let started = self.awaited.is_some();
        let entry = self.entries.entry(name);
        entry.or_insert_with_key(|name| {
            let mut book = archive.book(name);
            if started && !book.frozen {
                // it was removed, and what comes now has nothing to do with what ran then
                book.live = None;
            }
            Entry::new(name.clone(), ledger, book)
        })
    }
}

fn unknown(name: &ServiceName) -> Refusal {
    Refusal::NotFound(format!("there is no service {name:?}"))
}
