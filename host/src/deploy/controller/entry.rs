//! What the controller keeps of one service.

use std::sync::Arc;
use std::time::SystemTime;

use super::terms::Terms;
use super::trials::Tried;
use crate::config::ServiceName;
use crate::deploy::archive::Book;
use crate::deploy::diff::Known;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::operator::{Outcome, Refusal, Reply};
use crate::deploy::releases::{Pin, Why};
use crate::service::exit::unix_seconds;
use crate::service::status::{Held, HeldBy, TakenBack};
use crate::service::{Ledger, Release, Service};
use crate::wasm::Facts;

/// One service.
pub(super) struct Entry {
    pub(super) service: Arc<Service>,
    pub(super) known: Known,
    pub(super) live: Option<Arc<Release>>,
    /// What the live release imports.
    pub(super) facts: Option<Arc<Facts>>,
    /// What the live release and other services expect of one another.
    pub(super) terms: Option<Terms>,
    /// Its last file was refused for a conflict, which another service's change may end.
    pub(super) conflicted: bool,
    /// A new release that has to stand up to the live one.
    pub(super) tried: Option<Tried>,
    /// It runs something else than its files.
    pub(super) pin: Option<Pin>,
    /// The operator holds its deploys.
    pub(super) frozen: bool,
    /// The operator wants files of this content as they are, whatever they import.
    pub(super) forced: Option<Fingerprint>,
    /// What ran before this process, until something runs.
    ran: Option<(u64, Fingerprint)>,
    /// That is on its way, and the files come after it.
    pub(super) first: bool,
    /// Releases that are being drained.
    pub(super) retiring: usize,
    /// Operators who wait for what becomes of a content.
    waiting: Vec<(Option<Fingerprint>, Reply)>,
}

/// What to do with files that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Make a release of them.
    Take,
    /// Run this release instead.
    Instead(u64),
    /// Run this release, which ran before, and then look at the files again.
    First(u64),
    /// Leave them until the operator says so; what runs goes on.
    Hold,
}

impl Entry {
    /// A service about which nothing is known but what was decided before.
    pub(super) fn new(name: ServiceName, ledger: &Ledger, book: Book) -> Self {
        let service = Service::new(name, ledger);
        service.note(|notes| notes.frozen = book.frozen);
        Self {
            service,
            known: Known::default(),
            live: None,
            facts: None,
            terms: None,
            conflicted: false,
            tried: None,
            pin: book.pin,
            frozen: book.frozen,
            forced: None,
            ran: book.live.map(|record| (record.revision, record.content)),
            first: false,
            retiring: 0,
            waiting: Vec::new(),
        }
    }

    /// What to do with files of this content.
    pub(super) fn decide(&self, found: &Fingerprint) -> Decision {
        if self.forced.as_ref() == Some(found) {
            return Decision::Take;
        }
        if let Some(pin) = self.pin.as_ref().filter(|pin| pin.holds(found)) {
            return Decision::Instead(pin.run);
        }
        match &self.ran {
            // what is new has to be better than that, whoever was running when it came
            Some((revision, ran)) if !self.frozen && ran != found => Decision::First(*revision),
            _ if !self.frozen => Decision::Take,
            Some((_, ran)) if ran == found => Decision::Take,
            Some((revision, _)) => Decision::Instead(*revision),
            None => Decision::Hold,
        }
    }

    /// What ran before this process, if nothing has run since.
    pub(super) fn ran(&self) -> Option<u64> {
        self.ran.as_ref().map(|(revision, _)| *revision)
    }

    /// The files are gone while deploys are held: the same ones may come back.
    pub(super) fn remember(&mut self) {
        if let (true, Some(live), Some(content)) = (self.frozen, &self.live, &self.known.running) {
            self.ran = Some((live.info.revision, content.clone()));
        }
    }

    /// What ran before runs first, if it can. Then the files are looked at again.
    pub(super) fn wait_for_first(&mut self) {
        self.ran = None;
        self.first = true;
    }

    /// What runs is another release now.
    pub(super) fn runs(
        &mut self,
        release: &Arc<Release>,
        fingerprint: Option<Fingerprint>,
        facts: Arc<Facts>,
    ) -> Option<Arc<Release>> {
        self.known.running = fingerprint;
        self.facts = Some(facts);
        self.ran = None;
        self.live.replace(Arc::clone(release))
    }

    /// Tells the operator of the files that are not run, as long as the pin holds.
    pub(super) fn show_pin(&self) {
        let Some(pin) = &self.pin else { return };
        let digest = pin.seen.component.to_string();
        let at = unix_seconds(pin.at);
        let held = |why| Held {
            digest: digest.clone(),
            at,
            why,
            added: Vec::new(),
            message: pin.reason.clone(),
        };
        self.service.note(|notes| match pin.why {
            Why::Operator => notes.held = Some(held(HeldBy::Operator)),
            Why::Held => notes.held = Some(held(HeldBy::Capabilities)),
            Why::TakenBack => {
                notes.taken_back = Some(TakenBack {
                    revision: pin.taken_back.unwrap_or_default(),
                    digest: digest.clone(),
                    at,
                    reason: pin.reason.clone(),
                });
            }
        });
    }

    /// Another release is taken: what was held or taken back is no longer of interest.
    pub(super) fn forget_pin(&mut self) -> Option<Pin> {
        self.forced = None;
        self.service.note(|notes| {
            notes.held = None;
            notes.taken_back = None;
        });
        self.pin.take()
    }

    /// Notes that files are left until the operator says so.
    pub(super) fn hold(&self, found: &Fingerprint) -> Held {
        let name = &self.service.name;
        let held = Held {
            digest: found.component.to_string(),
            at: unix_seconds(SystemTime::now()),
            why: HeldBy::Operator,
            added: Vec::new(),
            message: format!("deploys of {name} are held; take it with: wharf resume {name}"),
        };
        self.service.note(|notes| notes.held = Some(held.clone()));
        held
    }

    /// Lets an operator hear what becomes of a content; `None` for whatever is decided next.
    pub(super) fn wait(&mut self, content: Option<Fingerprint>, reply: Reply) {
        self.waiting.push((content, reply));
    }

    /// Lets those hear of it who wait for another content than the files have now.
    pub(super) fn forsake(&mut self, found: &Fingerprint) {
        let is_other = |(awaited, _): &mut (Option<Fingerprint>, Reply)| {
            awaited.as_ref().is_some_and(|content| content != found)
        };
        for (_, reply) in self.waiting.extract_if(.., is_other) {
            let message = "other files took its place before it was taken".to_owned();
            let _ = reply.send(Err(Refusal::Conflict(message)));
        }
    }

    /// Lets all who wait hear that there is nothing more to wait for.
    pub(super) fn answer_all(&mut self, refusal: &Refusal) {
        for (_, reply) in self.waiting.drain(..) {
            let _ = reply.send(Err(refusal.clone()));
        }
    }

    /// Tells those who wait for it, or for whatever comes, what became of a content.
    pub(super) fn told(
        &mut self,
        content: Option<&Fingerprint>,
        outcome: &Result<Outcome, Refusal>,
    ) {
        for (awaited, reply) in std::mem::take(&mut self.waiting) {
            if awaited.is_none() || awaited.as_ref() == content {
                // who has gone doesn't want to know
                let _ = reply.send(outcome.clone());
            } else {
                self.waiting.push((awaited, reply));
            }
        }
    }
}
