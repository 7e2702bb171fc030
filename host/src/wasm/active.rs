//! The requests, and the calls of its functions, that one instance is working on.
//!
//! Shared between the store's data, where the guest's host calls record effects, and the task
//! around the store, which must know deadlines while the store is borrowed by running code. The
//! lock is never held across an `await`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use http::request::Parts;
use http::{HeaderValue, Response};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Val;

use super::typed::invoke::{Invocation, Invoke, Results};
use crate::body::{Body, ReplayBody};
use crate::dispatch::{
    Attempt, AttemptError, Caller, Effect, Exchange, Particulars, Reply, RequestId, Superseded,
    Work,
};
use crate::service::exit::{Death, ExitReason};

/// One request being worked on.
struct Entry {
    number: u64,
    particulars: Box<Particulars>,
    trace: [Option<HeaderValue>; 2],
    /// A call has none.
    body: Option<ReplayBody>,
    asker: Option<Asker>,
    fate: Fate,
}

/// Who waits for an answer.
enum Asker {
    Http(Reply),
    Call(Results),
}

impl Asker {
    /// Nothing happens if they have gone.
    fn fail(self, error: AttemptError) {
        match self {
            Self::Http(reply) => drop(reply.send(Err(error))),
            Self::Call(results) => drop(results.send(Err(error))),
        }
    }
}

/// What the guest is to do.
pub(super) enum Task {
    /// To answer a request.
    Http(Box<Parts>, Body),
    /// To run a function that it exports.
    Call(Invocation),
    /// Nothing that any guest can do.
    Nothing,
}

impl Entry {
    /// Whether a death is the request's fault rather than the instance's.
    fn is_to_blame(&self) -> bool {
        let broken = |body: &ReplayBody| body.too_large() || body.client_broke_off();
        self.particulars.tries > 1
            || self.particulars.suspect
            || self.body.as_ref().is_some_and(broken)
    }
}

#[derive(Default)]
struct Inner {
    next: u64,
    entries: Vec<Entry>,
    /// The deadline of the last request that left.
    last: Option<Instant>,
    /// Something began since it was last asked for.
    fresh: bool,
}

impl Inner {
    /// The request with this id, or all if it isn't there.
    fn named(&self, id: Option<&HeaderValue>) -> &[Entry] {
        let named = id.and_then(|id| {
            self.entries
                .iter()
                .find(|entry| entry.particulars.id.value() == id)
        });
        named.map_or(&self.entries, std::slice::from_ref)
    }
}

/// Tells a response's body whether the instance that makes it has died, and of what. A body whose
/// maker is gone looks ended; this is how half an answer is told from a whole one.
#[derive(Clone, Default)]
pub(super) struct Fate(Arc<OnceLock<Death>>);

impl Fate {
    /// What the instance died of while it was working on the request.
    pub(super) fn sealed(&self) -> Option<Death> {
        self.0.get().copied()
    }

    fn seal(&self, death: Death) {
        // it dies only once
        let _ = self.0.set(death);
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Active(Arc<Shared>);

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Told when a request leaves.
    left: Notify,
}

/// A request's place in the list; leaves it when dropped, unless it is kept.
pub(super) struct Ticket {
    answerer: Answerer,
    kept: AtomicBool,
    fate: Fate,
}

impl Active {
    /// Enters an attempt, and gives back what the guest is to do.
    pub(super) fn enter(&self, attempt: Attempt) -> (Ticket, Task) {
        let Attempt { work, particulars } = attempt;
        let (task, body, asker, trace) = match work {
            Work::Http(Exchange {
                head,
                reader,
                body,
                trace,
                reply,
            }) => {
                let asker = Asker::Http(reply);
                let trace = trace.map_or([None, None], |trace| *trace);
                (Task::Http(head, reader), Some(body), Some(asker), trace)
            }
            Work::Call(message) => match Invoke::open(message) {
                Some(invoke) => {
                    let asker = Asker::Call(invoke.results);
                    (
                        Task::Call(invoke.invocation),
                        None,
                        Some(asker),
                        invoke.trace,
                    )
                }
                None => (Task::Nothing, None, None, [None, None]),
            },
        };
        let fate = Fate::default();
        let mut inner = self.0.inner.lock();
        inner.fresh = true;
        inner.next += 1;
        let number = inner.next;
        inner.entries.push(Entry {
            number,
            particulars,
            trace,
            body,
            asker,
            fate: fate.clone(),
        });
        drop(inner);
        let answerer = Answerer {
            active: self.clone(),
            number,
        };
        let ticket = Ticket {
            answerer,
            kept: AtomicBool::new(false),
            fate,
        };
        (ticket, task)
    }

    /// Records an effect, before it happens. With several requests in one instance nothing tells
    /// surely whose it is, so it counts for all of them.
    ///
    /// # Errors
    ///
    /// It must not happen.
    pub(super) fn record(&self, effect: Effect) -> Result<(), Superseded> {
        let inner = self.0.inner.lock();
        let mut entries = inner.entries.iter();
        entries.try_for_each(|entry| entry.particulars.effects.record(effect))
    }

    /// Who it is that makes a call now: the request with the id `named`, which a guest may pass on by
    /// itself, or the only one, or all of them. `None` if there is no request that it could be for.
    pub(super) fn caller(&self, named: Option<&HeaderValue>) -> Option<Caller> {
        let inner = self.0.inner.lock();
        let entries = inner.named(named);
        let first = entries.first()?;
        let alone = entries.len() == 1;
        Some(Caller {
            id: first.particulars.id.clone(),
            deadline: entries
                .iter()
                .map(|entry| entry.particulars.deadline)
                .max()?,
            depth: entries.iter().map(|entry| entry.particulars.depth).max()?,
            lane: first.particulars.lane,
            effects: entries
                .iter()
                .map(|entry| Arc::clone(&entry.particulars.effects))
                .collect(),
            place: if alone {
                Arc::downgrade(&first.particulars.lease)
            } else {
                Weak::new()
            },
            trace: if alone {
                first.trace.clone()
            } else {
                [None, None]
            },
        })
    }

    /// What the spans of that request are part of, if it is clear which one it is.
    pub(super) fn trace(&self, named: Option<&HeaderValue>) -> [Option<HeaderValue>; 2] {
        match self.0.inner.lock().named(named) {
            [entry] => entry.trace.clone(),
            _ => [None, None],
        }
    }

    /// The request that is being worked on, if there is one and only one.
    pub(super) fn only_request(&self) -> Option<RequestId> {
        match &*self.0.inner.lock().entries {
            [entry] => Some(entry.particulars.id.clone()),
            _ => None,
        }
    }

    /// When the first of the requests must be over.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.0
            .inner
            .lock()
            .entries
            .iter()
            .map(|entry| entry.particulars.deadline)
            .min()
    }

    /// When guest code that runs now must have come to an end: a guest may go on after its last
    /// response is over, but no longer than that request had.
    pub(super) fn must_end(&self) -> Option<Instant> {
        let inner = self.0.inner.lock();
        let first = inner
            .entries
            .iter()
            .map(|entry| entry.particulars.deadline)
            .min();
        first.or(inner.last)
    }

    /// A new guest begins, which has nothing to do with what the one before was working on.
    pub(super) fn begin(&self) {
        let mut inner = self.0.inner.lock();
        inner.last = None;
        inner.fresh = true;
    }

    /// Whether a request or a guest began since this was last asked.
    pub(super) fn just_began(&self) -> bool {
        std::mem::take(&mut self.0.inner.lock().fresh)
    }

    /// Waits until all requests have left, or the first of them must be over.
    pub(super) async fn over(&self) {
        loop {
            let left = self.0.left.notified();
            let Some(deadline) = self.first_deadline() else {
                return;
            };
            if timeout_at(deadline, left).await.is_err() {
                return;
            }
        }
    }

    /// The requests, for an exit record.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0
            .inner
            .lock()
            .entries
            .iter()
            .map(|entry| entry.particulars.line.to_string())
            .collect()
    }

    /// Whether there are requests and the clients of all of them have gone.
    pub(super) fn is_abandoned(&self) -> bool {
        let inner = self.0.inner.lock();
        !inner.entries.is_empty()
            && inner
                .entries
                .iter()
                .all(|entry| entry.particulars.lease.is_abandoned())
    }

    /// Whether the instance isn't to blame for its death: all it was working on had killed another
    /// instance before, or came with a body that its client broke.
    pub(super) fn blameless(&self) -> bool {
        let inner = self.0.inner.lock();
        !inner.entries.is_empty() && inner.entries.iter().all(Entry::is_to_blame)
    }

    /// The instance ended: whoever still waits for an answer hears why, and bodies that are not
    /// over are broken. To be called before the store is dropped.
    pub(super) fn bury(&self, reason: ExitReason, computing: bool) {
        let entries = std::mem::take(&mut self.0.inner.lock().entries);
        let death = Death {
            reason,
            in_company: entries.len() > 1,
            computing,
        };
        for entry in entries {
            entry.fate.seal(death);
            if let Some(asker) = entry.asker {
                asker.fail(AttemptError::Died(death));
            }
        }
    }
}

impl Ticket {
    /// What becomes of the instance, for the response's body.
    pub(super) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// What answers the request; a clone can do so from another place. It doesn't keep the request in
    /// the list.
    pub(super) fn answerer(&self) -> &Answerer {
        &self.answerer
    }

    /// Leaves the request in the list when the ticket is dropped: if that happens because the
    /// instance dies, the exit is to name it, its dispatcher to be told and its body to be broken.
    pub(super) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        let Answerer { active, number } = &self.answerer;
        let left = {
            let mut inner = active.0.inner.lock();
            let mut entries = inner.entries.iter();
            let index = entries.position(|entry| entry.number == *number);
            let left = index.map(|index| inner.entries.remove(index));
            inner.last = left.as_ref().map(|entry| entry.particulars.deadline);
            left
        };
        active.0.left.notify_waiters();
        // its lease goes back to the pool here, outside of the lock
        drop(left);
    }
}

/// Answers one request, once.
#[derive(Clone)]
pub(super) struct Answerer {
    active: Active,
    number: u64,
}

impl Answerer {
    /// Gives the response to the dispatcher.
    pub(super) fn respond(&self, response: Response<Body>) {
        // the client may have gone
        if let Some(Asker::Http(reply)) = self.asker() {
            let _ = reply.send(Ok(Box::new(response)));
        }
    }

    /// Gives the results of a call to its caller.
    pub(super) fn give(&self, values: Vec<Val>) {
        if let Some(Asker::Call(results)) = self.asker() {
            let _ = results.send(Ok(values));
        }
    }

    /// The guest gave no answer. Nothing happens if it gave one before.
    pub(super) fn fail(&self, message: impl Into<String>) {
        if let Some(asker) = self.asker() {
            asker.fail(AttemptError::Guest(message.into()));
        }
    }

    /// Who waits, unless they were answered before.
    fn asker(&self) -> Option<Asker> {
        let mut inner = self.active.0.inner.lock();
        let mut entries = inner.entries.iter_mut();
        let entry = entries.find(|entry| entry.number == self.number)?;
        entry.asker.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::empty;
    use crate::config::{Config, Manifest};
    use crate::dispatch::{Effects, Head, Line};
    use crate::service::exit::InstanceId;
    use crate::service::lane::Lane;
    use crate::service::lease::Lease;
    use crate::service::mailbox;
    use crate::service::pool::{Pool, PoolLimits};
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn attempt(
        lease: &Arc<Lease>,
        tries: u32,
        deadline: Instant,
    ) -> (Attempt, oneshot::Receiver<Answered>) {
        let (reply, answer) = oneshot::channel();
        let (head, body) = http::Request::new(empty()).into_parts();
        let head = Head::new(Box::new(head));
        let particulars = Particulars {
            id: RequestId::random(),
            line: Line::new(&head),
            deadline,
            tries,
            suspect: false,
            depth: 0,
            lane: Lane::default(),
            effects: Arc::new(Effects::default()),
            lease: Arc::clone(lease),
        };
        let work = Work::Http(Exchange {
            head: head.give(),
            reader: body,
            body: ReplayBody::new(empty(), 0, 0),
            trace: None,
            reply,
        });
        let attempt = Attempt {
            work,
            particulars: Box::new(particulars),
        };
        (attempt, answer)
    }

    type Answered = Result<crate::dispatch::Answer, AttemptError>;

    async fn lease() -> Arc<Lease> {
        let manifest = Manifest::default_for(&"a".parse().unwrap(), &Config::default());
        let pool = Pool::new(PoolLimits::of(&manifest, std::num::NonZeroUsize::MIN));
        let (mailbox, _) = mailbox::open();
        pool.add(InstanceId(1), mailbox, 1, Arc::default());
        Arc::new(
            pool.acquire(Instant::now() + Duration::from_secs(9), None)
                .await
                .unwrap(),
        )
    }

    #[tokio::test]
    async fn a_death_answers_those_who_wait_and_breaks_what_is_not_over() {
        let (active, lease) = (Active::default(), lease().await);
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let (first, mut first_answer) = attempt(&lease, 1, later(9));
        let (second, mut second_answer) = attempt(&lease, 2, later(3));
        let (first_effects, second_effects) = (
            first.particulars.effects.clone(),
            second.particulars.effects.clone(),
        );
        let soonest = second.particulars.deadline;
        let (first, _) = active.enter(first);
        let (_second, _) = active.enter(second);
        assert_eq!(active.first_deadline(), Some(soonest));
        assert!(!active.blameless());
        first.answerer().respond(Response::new(empty()));
        // nothing of it has reached the client
        assert!(first_effects.none());
        active.record(Effect::Write).unwrap();
        assert!(!second_effects.none());
        active.bury(ExitReason::Trap, true);
        let death = Death {
            reason: ExitReason::Trap,
            in_company: true,
            computing: true,
        };
        assert_eq!(first.fate().sealed(), Some(death));
        assert!(first_answer.try_recv().unwrap().is_ok());
        let second_answer = second_answer.try_recv().unwrap();
        assert!(matches!(second_answer, Err(AttemptError::Died(is)) if is == death));
    }

    #[tokio::test]
    async fn a_request_that_is_over_leaves_the_list_and_frees_its_place() {
        let (active, lease) = (Active::default(), lease().await);
        let (attempt, _answer) = attempt(&lease, 1, Instant::now());
        let (ticket, _) = active.enter(attempt);
        assert_eq!(Arc::strong_count(&lease), 2);
        assert!(!active.is_abandoned());
        lease.abandon();
        assert!(active.is_abandoned());
        drop(ticket);
        assert_eq!(Arc::strong_count(&lease), 1);
        assert!(active.lines().is_empty());
        assert_eq!(active.first_deadline(), None);
    }
}
