//! The instances' work that an event loop goes on with.
//!
//! Work that is rung on a thread with an event loop is gone on with by that thread: what it needs is in its
//! cache, and no other has to be woken. The loop [serves](serve) the queue besides its connections.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};

use tracing::error;

use super::drive::Lend;
use super::shares::QUANTUM;
use crate::clock;

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
        round(count);
        Poll::<()>::Pending
    })
    .await;
}

/// Goes on with so much of what is in the queue; what is added meanwhile waits until the connections have
/// had their turn. When the thread has worked for long, the rest is left to the tasks, which other threads
/// take up.
fn round(count: usize) {
    let start = clock::read();
    for _ in 0..count {
        let Some(work) = next() else { return };
        let is_tired = clock::recent().into_std() - start >= QUANTUM;
        work.bell().dequeued(is_tired);
        if is_tired {
            continue;
        }
        // what a guest does can't bring an event loop down, nor what the host makes of it
        if catch_unwind(AssertUnwindSafe(|| work.go_on())).is_err() {
            error!("the host panicked over an instance's work");
        }
    }
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
            work.bell().dequeued(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::drive::Drive;
    use super::super::drive::tests::counting_waker;
    use super::super::meter::Meter;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;
    use std::time::Duration;

    use futures::FutureExt as _;

    /// Work that is never over, what wakes it, and how often its task and itself were polled.
    struct Scene {
        _task: futures::future::BoxFuture<'static, ()>,
        waker: Arc<std::sync::Mutex<Option<Waker>>>,
        polls: Arc<AtomicUsize>,
        woken: Arc<AtomicUsize>,
    }

    impl Scene {
        fn new(takes: Duration) -> Self {
            let (waker, polls) = (
                Arc::<std::sync::Mutex<_>>::default(),
                Arc::<AtomicUsize>::default(),
            );
            let (kept, seen) = (Arc::clone(&waker), Arc::clone(&polls));
            let drive = Drive::new(Meter::alone());
            let mut task = drive
                .start(Box::pin(poll_fn(move |cx| {
                    *kept.lock().unwrap() = Some(cx.waker().clone());
                    if seen.fetch_add(1, Ordering::SeqCst) > 0 {
                        let until = std::time::Instant::now() + takes;
                        while std::time::Instant::now() < until {}
                    }
                    Poll::<()>::Pending
                })))
                .boxed();
            let (counter, woken) = counting_waker();
            let polled = task.poll_unpin(&mut std::task::Context::from_waker(&counter));
            assert!(polled.is_pending());
            Self {
                _task: task,
                waker,
                polls,
                woken,
            }
        }

        fn ring(&self) {
            self.waker.lock().unwrap().clone().unwrap().wake();
        }

        fn counts(&self) -> (usize, usize) {
            (
                self.polls.load(Ordering::SeqCst),
                self.woken.load(Ordering::SeqCst),
            )
        }
    }

    /// On a thread of its own, as an event loop with a queue.
    fn on_a_loop<T: Send + 'static>(
        test: impl FnOnce(&mut dyn FnMut()) -> T + Send + 'static,
    ) -> T {
        let thread = std::thread::spawn(|| {
            clock::forget();
            let mut queue = Box::pin(serve());
            let mut serve = move || assert!(queue.as_mut().now_or_never().is_none());
            serve();
            test(&mut serve)
        });
        thread.join().unwrap()
    }

    #[test]
    fn what_is_rung_on_a_loop_is_gone_on_with_there_and_once() {
        on_a_loop(|serve| {
            let scene = Scene::new(Duration::ZERO);
            scene.ring();
            scene.ring();
            assert_eq!(scene.counts(), (1, 0));
            serve();
            assert_eq!(scene.counts(), (2, 0));
            serve();
            assert_eq!(scene.counts(), (2, 0));
            scene.ring();
            serve();
            assert_eq!(scene.counts(), (3, 0), "it can be rung again");
        });
    }

    #[test]
    fn elsewhere_its_task_is_woken() {
        let scene = Scene::new(Duration::ZERO);
        scene.ring();
        assert_eq!(scene.counts(), (1, 1));
    }

    #[test]
    fn what_computes_for_long_is_left_to_its_task() {
        on_a_loop(|serve| {
            let scene = Scene::new(QUANTUM);
            scene.ring();
            serve();
            assert_eq!(scene.counts(), (2, 0));
            scene.ring();
            serve();
            assert_eq!(scene.counts(), (2, 1));
        });
    }

    #[test]
    fn a_loop_that_has_worked_for_long_leaves_the_rest_to_the_tasks() {
        on_a_loop(|serve| {
            let scenes: Vec<_> = (0..3).map(|_| Scene::new(QUANTUM * 2 / 3)).collect();
            scenes.iter().for_each(Scene::ring);
            serve();
            let counts: Vec<_> = scenes.iter().map(Scene::counts).collect();
            assert_eq!(counts, [(2, 0), (2, 0), (1, 1)]);
        });
    }

    #[test]
    fn what_is_left_when_the_loop_ends_goes_to_the_tasks() {
        let scene = on_a_loop(|_| {
            let scene = Scene::new(Duration::ZERO);
            scene.ring();
            assert_eq!(scene.counts(), (1, 0));
            scene
        });
        assert_eq!(scene.counts(), (1, 1));
    }
}
