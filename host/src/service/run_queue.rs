//! The instances' work that an event loop goes on with.
//!
//! Work that is rung on a thread with an event loop is gone on with by that thread: what it needs is in its
//! cache, and no other has to be woken. The loop [serves](serve) the queue besides its connections.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::drive::Lend;

thread_local! {
    static QUEUE: RefCell<Option<Queue>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<dyn Lend>>,
    waker: Option<Waker>,
}

/// Whether this thread has a queue.
pub(super) fn is_here() -> bool {
    QUEUE.with_borrow(Option::is_some)
}

/// Puts work into this thread's queue. `false` if it has none.
pub(super) fn push(work: Arc<dyn Lend>) -> bool {
    let waker = QUEUE.with_borrow_mut(|queue| {
        let queue = queue.as_mut()?;
        queue.waiting.push_back(work);
        Some(queue.waker.take())
    });
    let found = waker.is_some();
    if let Some(Some(waker)) = waker {
        waker.wake();
    }
    found
}

/// Goes on with what comes into this thread's queue, for ever. To be awaited on a thread that runs
/// nothing but its own tasks.
pub async fn serve() {
    let _open = Open::new();
    poll_fn(|cx| {
        let count = QUEUE.with_borrow_mut(|queue| {
            let queue = queue.get_or_insert_default();
            queue.waker = Some(cx.waker().clone());
            queue.waiting.len()
        });
        // what is added meanwhile waits until the connections have had their turn
        for _ in 0..count {
            if let Some(work) = next() {
                work.go_on();
            }
        }
        Poll::<()>::Pending
    })
    .await;
}

fn next() -> Option<Arc<dyn Lend>> {
    QUEUE.with_borrow_mut(|queue| queue.as_mut()?.waiting.pop_front())
}

/// The queue is there until this is dropped.
struct Open;

impl Open {
    fn new() -> Self {
        QUEUE.set(Some(Queue::default()));
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = QUEUE.take();
        // their tasks go on with it
        for work in left.into_iter().flat_map(|queue| queue.waiting) {
            work.bell().ring();
        }
    }
}
