//! Where an instance gets its attempts from.
//!
//! Like a channel of tokio, but for one thing: whoever sends lends its thread to the instance's work
//! right after ([`Lend::lend`](super::drive)), so that there is no need to wake its task first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::drive::{Hold, Lend};
use super::gate::Turn;
use crate::dispatch::Attempt;

/// The pool's end. When the last copy is dropped, the instance is to end.
#[derive(Clone)]
pub struct Mailbox(Arc<Sender>);

/// The instance's end.
pub struct Inbox(Arc<Mutex<Letters>>);

struct Sender {
    letters: Arc<Mutex<Letters>>,
    /// Who reads them, if anybody is to be helped with that.
    reader: Option<Arc<dyn Lend>>,
}

#[derive(Default)]
struct Letters {
    waiting: VecDeque<Attempt>,
    /// The sender's end is gone.
    ended: bool,
    /// The instance takes no more.
    closed: bool,
    reader: Option<Waker>,
}

/// A mailbox whose reader drives itself.
pub fn open() -> (Mailbox, Inbox) {
    connect(None)
}

/// A mailbox whose senders drive its reader.
pub(super) fn driven_by(reader: Arc<dyn Lend>) -> (Mailbox, Inbox) {
    connect(Some(reader))
}

fn connect(reader: Option<Arc<dyn Lend>>) -> (Mailbox, Inbox) {
    let letters = Arc::default();
    let sender = Sender {
        letters: Arc::clone(&letters),
        reader,
    };
    (Mailbox(Arc::new(sender)), Inbox(letters))
}

impl Mailbox {
    /// Hands an attempt to the instance, or back if the instance has ended. If the instance has
    /// nothing to wait for, the attempt is over when this returns, and so is the `turn`; but one that often
    /// computes for long has got both to go on with by itself. What it does after that is on hold as long as what is
    /// returned is kept.
    ///
    /// # Errors
    ///
    /// The attempt itself.
    pub(super) fn send(&self, attempt: Attempt, turn: Turn) -> Result<Option<Hold<'_>>, Attempt> {
        let waker = {
            let mut letters = self.0.letters.lock();
            if letters.closed {
                return Err(attempt);
            }
            letters.waiting.push_back(attempt);
            letters.reader.take()
        };
        let hold = self.hold();
        if let Some(waker) = waker {
            waker.wake();
        }
        self.lend(turn);
        Ok(hold)
    }

    /// Whether the instance's work is over.
    pub(super) fn is_over(&self) -> bool {
        self.0
            .reader
            .as_ref()
            .is_some_and(|reader| reader.is_over())
    }

    /// What wakes the instance from now on is left to who drives its work here.
    pub(super) fn hold(&self) -> Option<Hold<'_>> {
        self.0.reader.as_deref().map(Hold::of)
    }

    /// Moves the instance's work on, until it waits.
    pub(super) fn lend(&self, turn: Turn) {
        if let Some(reader) = &self.0.reader {
            reader.lend(turn);
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let reader = {
            let mut letters = self.letters.lock();
            letters.ended = true;
            letters.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Inbox {
    /// The next attempt; `None` when there is none left and there will be none.
    pub async fn recv(&mut self) -> Option<Attempt> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Attempt>> {
        let mut letters = self.0.lock();
        match letters.waiting.pop_front() {
            Some(attempt) => Poll::Ready(Some(attempt)),
            None if letters.ended || letters.closed => Poll::Ready(None),
            None => {
                match &mut letters.reader {
                    Some(reader) => reader.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Takes no more; what was not read yet is returned.
    pub fn close(&mut self) -> VecDeque<Attempt> {
        let mut letters = self.0.lock();
        letters.closed = true;
        std::mem::take(&mut letters.waiting)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // their dispatchers hear of it by the reply that is dropped
        drop(self.close());
    }
}
