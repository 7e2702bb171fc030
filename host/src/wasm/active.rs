//! The requests that one instance is working on.
//!
//! Shared between the store's data, where the guest's host calls record effects, and the task
//! around the store, which must know deadlines while the store is borrowed by running code. The
//! lock is never held across an `await`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::body::Body;
use crate::dispatch::{AttemptError, Effect, Effects, Reply};
use crate::service::exit::ExitReason;

/// One request being worked on.
struct Entry {
    number: u64,
    line: Arc<str>,
    deadline: Instant,
    tries: u32,
    effects: Arc<Effects>,
    reply: Option<Reply>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    entries: Vec<Entry>,
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Active(Arc<Mutex<Inner>>);

/// A request's place in the list; leaves it when dropped, unless it is kept.
pub(super) struct Ticket {
    active: Active,
    number: u64,
    kept: AtomicBool,
}

impl Active {
    /// Enters a request.
    pub(super) fn enter(
        &self,
        line: Arc<str>,
        deadline: Instant,
        tries: u32,
        effects: Arc<Effects>,
        reply: Reply,
    ) -> Ticket {
        let mut inner = self.0.lock();
        inner.next += 1;
        let number = inner.next;
        inner.entries.push(Entry {
            number,
            line,
            deadline,
            tries,
            effects,
            reply: Some(reply),
        });
        Ticket {
            active: self.clone(),
            number,
            kept: AtomicBool::new(false),
        }
    }

    /// Records an effect, before it happens. With several requests in one instance nothing tells
    /// surely whose it is, so it counts for all of them.
    pub(super) fn record(&self, effect: Effect) {
        for entry in &self.0.lock().entries {
            entry.effects.record(effect);
        }
    }

    /// When the first of the requests must be over.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.0
            .lock()
            .entries
            .iter()
            .map(|entry| entry.deadline)
            .min()
    }

    /// The requests, for an exit record.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .entries
            .iter()
            .map(|entry| entry.line.to_string())
            .collect()
    }

    /// Whether all of the requests had been tried elsewhere before.
    pub(super) fn all_repeats(&self) -> bool {
        let inner = self.0.lock();
        !inner.entries.is_empty() && inner.entries.iter().all(|entry| entry.tries > 1)
    }

    /// The instance ended: whoever still waits for an answer hears why.
    pub(super) fn bury(&self, reason: ExitReason) {
        let entries = std::mem::take(&mut self.0.lock().entries);
        for reply in entries.into_iter().filter_map(|entry| entry.reply) {
            let _ = reply.send(Err(AttemptError::Died(reason)));
        }
    }
}

impl Ticket {
    /// A handle that answers from another place. It doesn't keep the request in the list.
    pub(super) fn answerer(&self) -> Answerer {
        Answerer {
            active: self.active.clone(),
            number: self.number,
        }
    }

    /// Leaves the request in the list: the instance died of it, and the exit is to name it.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            self.active
                .0
                .lock()
                .entries
                .retain(|entry| entry.number != self.number);
        }
    }
}

/// Answers one request, once.
pub(super) struct Answerer {
    active: Active,
    number: u64,
}

impl Answerer {
    /// Gives the response to the client. Its head is an effect, recorded first.
    pub(super) fn respond(&self, response: Response<Body>) {
        self.send(true, Ok(response));
    }

    /// The guest gave no response. Nothing happens if it gave one before.
    pub(super) fn fail(&self, message: String) {
        self.send(false, Err(AttemptError::Guest(message)));
    }

    fn send(&self, effect: bool, answer: Result<Response<Body>, AttemptError>) {
        let reply = {
            let mut inner = self.active.0.lock();
            let Some(entry) = inner
                .entries
                .iter_mut()
                .find(|entry| entry.number == self.number)
            else {
                return;
            };
            if effect {
                entry.effects.record(Effect::Head);
            }
            entry.reply.take()
        };
        // the client may have gone
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_death_answers_those_who_wait_and_only_those() {
        let active = Active::default();
        let now = Instant::now();
        let enter = |tries, seconds| {
            let (reply, answer) = oneshot::channel();
            let effects = Arc::new(Effects::default());
            let ticket = active.enter(
                "GET /".into(),
                now + Duration::from_secs(seconds),
                tries,
                effects.clone(),
                reply,
            );
            (ticket, answer, effects)
        };
        let (first, mut first_answer, first_effects) = enter(1, 9);
        let (_second, mut second_answer, second_effects) = enter(2, 3);
        assert_eq!(active.first_deadline(), Some(now + Duration::from_secs(3)));
        assert!(!active.all_repeats());
        first
            .answerer()
            .respond(Response::new(crate::body::empty()));
        assert!(!first_effects.none());
        assert!(second_effects.none());
        active.record(Effect::Write);
        assert!(!second_effects.none());
        active.bury(ExitReason::Trap);
        assert!(first_answer.try_recv().unwrap().is_ok());
        assert!(matches!(
            second_answer.try_recv().unwrap(),
            Err(AttemptError::Died(ExitReason::Trap))
        ));
    }

    #[tokio::test]
    async fn a_request_that_is_over_leaves_the_list() {
        let active = Active::default();
        let (reply, _answer) = oneshot::channel();
        drop(active.enter(
            "GET /".into(),
            Instant::now(),
            1,
            Arc::new(Effects::default()),
            reply,
        ));
        assert!(active.lines().is_empty());
        assert_eq!(active.first_deadline(), None);
    }
}
