//! What becomes of a release once it is judged, if it isn't published: held, or refused.

use std::fmt::Display;
use std::time::SystemTime;

use super::publish::Candidate;
use super::{Controller, Entry};
use crate::config::ServiceName;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::operator::Refusal;
use crate::deploy::prepare::{Judged, Outcome};
use crate::deploy::releases::{Pin, State, Why};
use crate::service::status::Held;
use crate::telemetry::events::{Event, Level, Stage};
use crate::wasm::typed::Bindings;

impl Controller {
    /// Notes a judgement. A release that is warm is given back, to be published.
    pub(super) fn on_judged(&mut self, judged: Judged) -> Option<Candidate> {
        let Judged {
            service,
            fingerprint,
            from_files,
            outcome,
        } = judged;
        let name = service.name.clone();
        let entry = self.entries.get_mut(&name)?;
        if from_files {
            entry.known.judged.clone_from(&fingerprint);
        }
        entry.conflicted = false;
        match outcome {
            Outcome::Warm(warm) => Some(Candidate {
                name,
                fingerprint,
                warm,
                bindings: Bindings::new(),
                from_files,
                proven: false,
            }),
            Outcome::Refused(error) => {
                let content = fingerprint.as_ref();
                self.refuse(&name, content, from_files, &format!("{error:#}"));
                if !from_files {
                    self.run_files_after_all(&name);
                }
                self.decided(&name);
                None
            }
            Outcome::Held(held) => {
                self.on_held(&name, fingerprint.as_ref(), held);
                self.decided(&name);
                None
            }
        }
    }

    /// The release that an operator went back to can't be had any more, and nothing runs: better what it
    /// was gone back from than nothing.
    fn run_files_after_all(&mut self, name: &ServiceName) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let pin = entry.pin.as_ref();
        if let (None, false, Some(pin)) = (&entry.live, entry.frozen, pin)
            && pin.why == Why::Operator
        {
            entry.forced = Some(pin.seen.clone());
            entry.known.judged = None;
            self.look_again = true;
        }
    }

    /// Whether the operator has begun to hold deploys after the release was ordered.
    pub(super) fn has_to_wait(&self, candidate: &Candidate) -> bool {
        let entry = self.entries.get(&candidate.name);
        candidate.from_files
            && entry.is_some_and(|entry| {
                entry.frozen && entry.live.is_some() && entry.forced != candidate.fingerprint
            })
    }

    /// Leaves a release until the operator says so.
    pub(super) fn hold_back(&mut self, candidate: &Candidate) {
        let (name, info) = (&candidate.name, &candidate.warm.release.info);
        let archive = &self.workshop.archive;
        archive.mark(name, info.revision, State::Held, None);
        if let Some(content) = &candidate.fingerprint {
            self.leave(name, content, Event::deploy(Stage::Held).release(info));
        }
    }

    /// Leaves files of this content until the operator says so, and tells that as this event.
    pub(super) fn leave(&mut self, name: &ServiceName, content: &Fingerprint, event: Event) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let held = entry.hold(content);
        entry.told(Some(content), &Err(Refusal::Held(held.clone())));
        self.tell(event.say(held.message));
    }

    /// A release imports more than it may: what runs goes on, after a restart, too.
    fn on_held(&mut self, name: &ServiceName, content: Option<&Fingerprint>, held: Held) {
        let event = Event::deploy(Stage::Held).service(name);
        self.tell(event.say(held.message.clone()));
        let live = self.entries.get(name).and_then(|entry| entry.live.as_ref());
        if let (Some(seen), Some(live)) = (content.cloned(), live) {
            let pin = Pin {
                seen,
                run: live.info.revision,
                why: Why::Held,
                taken_back: None,
                reason: held.message.clone(),
                at: SystemTime::now(),
            };
            self.keep_pin(name, pin);
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.told(content, &Err(Refusal::Held(held.clone())));
            entry.service.note(|notes| notes.held = Some(held));
        }
    }

    /// Refuses a release that doesn't get along with others, which may change.
    pub(super) fn refuse_for_now(&mut self, candidate: &Candidate, why: &dyn Display) {
        let name = &candidate.name;
        candidate.abandon();
        let message = format!("{name} is not taken: {why}");
        let revision = candidate.warm.release.info.revision;
        let ran = self.entries.get(name).and_then(Entry::ran);
        if candidate.from_files && ran != Some(revision) {
            let archive = &self.workshop.archive;
            archive.mark(name, revision, State::TakenBack, Some(message.clone()));
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.conflicted = true;
            if candidate.proven {
                entry.service.try_out(None);
            }
        }
        let content = candidate.fingerprint.as_ref();
        self.refuse(name, content, candidate.from_files, &message);
        self.decided(name);
    }

    /// Says why a release of this content is not taken.
    fn refuse(
        &mut self,
        name: &ServiceName,
        content: Option<&Fingerprint>,
        from_files: bool,
        message: &str,
    ) {
        let event = Event::deploy(Stage::Refused)
            .service(name)
            .level(Level::Warning);
        self.tell(
            event
                .reason(message)
                .say("a release is refused; what was served before still is"),
        );
        if let Some(entry) = self.entries.get_mut(name) {
            if from_files {
                entry.service.note_deploy_error(message.to_owned());
                // whatever was held, it isn't what the files have now
                entry.service.note(|notes| notes.held = None);
            }
            let content = content.filter(|_| from_files);
            entry.told(content, &Err(Refusal::Refused(message.to_owned())));
        }
    }
}
