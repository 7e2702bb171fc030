//! What becomes of a release once it is judged, if it isn't published: held, or refused.

use std::fmt::Display;
use std::time::SystemTime;

use super::Controller;
use super::entry::StandsIn;
use super::publish::Candidate;
use crate::config::ServiceName;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::operator::Refusal;
use crate::deploy::prepare::{Judged, Origin, Outcome};
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
                let content = fingerprint.filter(|_| from_files);
                let message = format!("{error:#}");
                self.refuse(&name, content.as_ref(), &message);
                if from_files {
                    self.run_what_ran(&name, message);
                } else if let Some(entry) = self.entries.get_mut(&name) {
                    entry.stands_in = None;
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

    /// The files are refused, and nothing has run since this process began: what ran before it still can.
    fn run_what_ran(&mut self, name: &ServiceName, why: String) {
        let entry = self.entries.get_mut(name);
        let ran = entry.and_then(|entry| {
            let ran = entry.take_ran()?;
            entry.stands_in = Some(StandsIn::Refused(why));
            Some(ran)
        });
        if let Some(ran) = ran {
            self.order(name, Origin::Kept(ran));
        }
    }

    /// Refuses a release that doesn't get along with others, which may change.
    pub(super) fn refuse_for_now(&mut self, candidate: &Candidate, why: &dyn Display) {
        let name = &candidate.name;
        candidate.abandon();
        let message = format!("{name} is not taken: {why}");
        let revision = candidate.warm.release.info.revision;
        if candidate.from_files {
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
        self.refuse(name, content.filter(|_| candidate.from_files), &message);
        if candidate.from_files {
            self.run_what_ran(name, message);
        }
        self.decided(name);
    }

    /// Says why a release is not taken.
    fn refuse(&mut self, name: &ServiceName, content: Option<&Fingerprint>, message: &str) {
        let event = Event::deploy(Stage::Refused)
            .service(name)
            .level(Level::Warning);
        self.tell(
            event
                .reason(message)
                .say("a release is refused; what was served before still is"),
        );
        if let Some(entry) = self.entries.get_mut(name) {
            entry.service.note_deploy_error(message.to_owned());
            entry.told(content, &Err(Refusal::Refused(message.to_owned())));
        }
    }
}
