//! What has an instance's work gone on with.
//!
//! Most of what wakes it happens on a thread that drives the work at that moment, or is about to. Were
//! the task woken each time, it would be scheduled, often on another thread, to find nothing to do. So
//! whoever drives holds the bell meanwhile: that it was rung is noted, and heeded by the driver, or once
//! nobody holds it any more, by the event loop of the thread that rang, or the task.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

use super::Lend;
use crate::service::run_queue;

/// See the module. As a waker, it is what the work is polled with.
pub(in crate::service) struct Bell {
    work: Weak<dyn Lend>,
    task: AtomicWaker,
    /// How many hold it.
    held: AtomicUsize,
    /// It was rung, and nobody has heeded that yet.
    rung: AtomicBool,
    /// The work is in the queue of an event loop.
    queued: AtomicBool,
}

impl Bell {
    /// The bell of this work.
    pub(super) fn of(work: Weak<dyn Lend>) -> Self {
        Self {
            work,
            task: AtomicWaker::new(),
            held: AtomicUsize::new(0),
            rung: AtomicBool::new(false),
            queued: AtomicBool::new(false),
        }
    }

    /// Whom it wakes.
    pub(super) fn is_for(&self, task: &Waker) {
        self.task.register(task);
    }

    /// It wakes nobody until what is returned is dropped, and then only if it was rung meanwhile, nobody
    /// heeded that, and nobody else holds it.
    pub(super) fn hold(&self) -> Held<'_> {
        self.held.fetch_add(1, Ordering::SeqCst);
        Held(self)
    }

    /// Whether it was rung, and by nobody heeded yet.
    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// The same, for who then does what is to be done.
    pub(super) fn heed(&self) -> bool {
        self.is_rung() && self.rung.swap(false, Ordering::SeqCst)
    }

    /// There is something to be done.
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        // whoever holds it last has seen that, or is seen here
        if self.held.load(Ordering::SeqCst) == 0 && self.heed() {
            self.call();
        }
    }

    /// Has somebody go on with the work.
    fn call(&self) {
        if !(run_queue::is_here() && self.enqueue()) {
            self.task.wake();
        }
    }

    /// Puts the work into this thread's queue, unless it is in one already.
    fn enqueue(&self) -> bool {
        let work = self.work.upgrade().filter(|work| !work.is_apart());
        work.is_some_and(|work| self.queued.swap(true, Ordering::SeqCst) || run_queue::push(work))
    }

    /// The work was taken out of the queue, to be gone on with, or by the `task` if that is said.
    pub(in crate::service) fn dequeued(&self, task: bool) {
        self.queued.swap(false, Ordering::SeqCst);
        if task {
            self.task.wake();
        }
    }
}

/// See [`Bell::hold`].
pub(super) struct Held<'a>(&'a Bell);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0.held.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.heed() {
            self.0.call();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Drive;
    use super::super::tests::counting_waker;
    use super::*;
    use std::thread;

    fn bell() -> (Bell, Arc<AtomicUsize>) {
        let bell = Bell::of(Weak::<Drive<()>>::new());
        let (task, woken) = counting_waker();
        bell.is_for(&task);
        (bell, woken)
    }

    fn count(woken: &AtomicUsize) -> usize {
        woken.load(Ordering::SeqCst)
    }

    #[test]
    fn who_holds_it_heeds_it_and_what_was_not_heeded_wakes_the_task_afterwards() {
        let (bell, woken) = bell();
        let held = bell.hold();
        bell.ring();
        assert!(bell.heed());
        drop(held);
        assert_eq!(count(&woken), 0);
        let (one, other) = (bell.hold(), bell.hold());
        bell.ring();
        drop(one);
        assert_eq!(count(&woken), 0, "somebody still holds it");
        drop(other);
        assert_eq!(count(&woken), 1);
    }

    #[test]
    fn held_by_nobody_it_wakes_the_task_at_once() {
        let (bell, woken) = bell();
        bell.ring();
        assert_eq!(count(&woken), 1);
        assert!(!bell.is_rung());
    }

    /// However the threads meet: rung, it is heeded or wakes the task.
    #[test]
    fn it_is_never_rung_in_vain() {
        for _ in 0..2000 {
            let (bell, woken) = bell();
            let held = bell.hold();
            let heeded = thread::scope(|scope| {
                scope.spawn(|| bell.ring());
                let heeded = bell.heed();
                drop(held);
                heeded
            });
            assert!(heeded || count(&woken) == 1);
            assert!(!bell.is_rung());
        }
    }
}
