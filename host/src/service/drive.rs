//! One instance's work, and who moves it on.
//!
//! The work of an instance is one future. Its own task drives it, woken by whatever the guest waits
//! for. But most requests never wait: whoever has just put an attempt into the mailbox can drive the
//! work right there ([`Lend::lend`]), and has the answer without two changes of task. While it does,
//! the work is polled with the same waker as by its task, a [`Bell`]: a lender that goes away takes
//! nothing along, and what the guest waited for is gone on with where it came, by the event loop of
//! that thread ([`run_queue`](super::run_queue)) or else by the task.
//!
//! A guest that computes for long would keep an event loop from its connections. So the work of an instance
//! that did is left to its task for a while ([`Apart`]), whose thread has nothing else that others can't take.
//!
//! ```text
//!            lend or task polls                  it is over
//!   Resting ───────────────────► Driven ───────────────────► Over (the task hands it out)
//!      ▲                            │
//!      └──────── it waits ──────────┘      the task is dropped: the work is dropped,
//!                                          at once or when its driver comes back
//! ```

mod apart;
mod bell;

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use self::apart::Apart;
use self::bell::{Bell, Held};
use super::burst;
use super::gate::Turn;
use super::meter::Meter;

/// How often work that wakes itself is polled until whoever drives it goes on with something else.
const AT_ONCE: usize = 2;

/// Lets whoever drives the work go on with something else. The work is gone on with most likely on the same
/// thread and soon after.
pub async fn step_aside() {
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        if polls > AT_ONCE {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What lenders and the task share.
pub(super) struct Drive<T> {
    work: Mutex<Work<T>>,
    bell: Arc<Bell>,
    /// The bell, as the work knows it.
    waker: Waker,
    /// The task is gone.
    dropped: AtomicBool,
    apart: Apart,
    meter: Arc<Meter>,
}

/// The work as a future of its task. Dropping it drops the work.
pub(super) struct Driven<T>(Arc<Drive<T>>);

struct Work<T> {
    future: Option<BoxFuture<'static, T>>,
    outcome: Option<Result<T, Box<dyn Any + Send>>>,
}

impl<T: Send + 'static> Drive<T> {
    /// A drive without work, which is to be charged to `meter`.
    pub(super) fn new(meter: Arc<Meter>) -> Arc<Self> {
        Arc::new_cyclic(|drive: &Weak<Self>| {
            let bell = Arc::new(Bell::of(drive.clone()));
            Self {
                work: Mutex::new(Work {
                    future: None,
                    outcome: None,
                }),
                waker: Arc::clone(&bell).into(),
                bell,
                dropped: AtomicBool::new(false),
                apart: Apart::default(),
                meter,
            }
        })
    }

    /// Gives it its work, and back the future that a task is to run.
    pub(super) fn start(self: &Arc<Self>, work: BoxFuture<'static, T>) -> Driven<T> {
        self.work.lock().future = Some(work);
        Driven(Arc::clone(self))
    }
}

/// Moves somebody else's work on.
pub(super) trait Lend: Send + Sync {
    /// Drives the work until it waits, or wants others to have their turn, on the caller's thread; if
    /// another does so at the moment, the work is looked at again right after.
    fn go_on(&self);

    /// The same, for who has something else to do: work that takes long is left to its task, with the
    /// caller's `turn`.
    fn lend(&self, turn: Turn);

    /// Whether it is its task alone that is to go on with the work.
    fn is_apart(&self) -> bool;

    /// Whether the work has come to its end.
    fn is_over(&self) -> bool;

    /// What is rung when there is something to be done.
    fn bell(&self) -> &Bell;
}

/// Until it is dropped, what would wake a work's task waits for who drives it here.
pub struct Hold<'a> {
    work: &'a dyn Lend,
    _held: Held<'a>,
}

impl<'a> Hold<'a> {
    pub(super) fn of(work: &'a dyn Lend) -> Self {
        Self {
            work,
            _held: work.bell().hold(),
        }
    }

    /// Drives the work if there is a reason to.
    pub(super) fn settle(&self) {
        if self.work.bell().is_rung() {
            self.work.lend(Turn::none());
        }
    }
}

impl<T: Send + 'static> Lend for Drive<T> {
    fn lend(&self, turn: Turn) {
        if self.apart.is_next() {
            if turn.counts() {
                self.meter.keep(turn);
                // to be measured, and the turn with it, even if all that there was has just been done
                self.bell.ring();
            }
        } else {
            self.go_on();
        }
    }

    fn go_on(&self) {
        let _held = self.bell.hold();
        let Some(mut work) = self.take_turn() else {
            return;
        };
        // the task is there to end what is over, with its panic if it was one
        if self.drive(&mut work) {
            self.apart.for_ever();
            self.bell.ring();
        }
        self.end_turn(work);
    }

    fn is_apart(&self) -> bool {
        self.apart.is()
    }

    fn is_over(&self) -> bool {
        // as long as somebody drives it, it isn't
        let Some(work) = self.work.try_lock() else {
            return false;
        };
        let over = work.future.is_none();
        self.end_turn(work);
        over
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }
}

impl<T> Drive<T> {
    /// The right to drive. `None` if another has it; that there is something to be driven is then
    /// noted, for that one or the task.
    fn take_turn(&self) -> Option<MutexGuard<'_, Work<T>>> {
        let turn = self.work.try_lock();
        if turn.is_none() {
            self.bell.ring();
        }
        turn
    }

    fn end_turn(&self, work: MutexGuard<'_, Work<T>>) {
        drop(work);
        fence(Ordering::SeqCst);
        if self.dropped.load(Ordering::SeqCst) {
            self.drop_work();
        }
    }

    /// Drives the work until it waits, while the bell is held. `true` if it is over.
    fn drive(&self, work: &mut Work<T>) -> bool {
        let cx = &mut Context::from_waker(&self.waker);
        self.bell.heed();
        // Again if it was rung meanwhile, mostly by itself: it has its parts look at one another. Not for
        // ever, for it may want others to have their turn, nor by a thread that has worked for long.
        let again = |turn| turn == 0 || (!burst::is_over() && self.bell.heed());
        (0..AT_ONCE).any(|turn| {
            again(turn) && {
                let (over, took) = self.meter.measure(|| work.poll(cx));
                self.apart.note(took);
                over
            }
        })
    }

    /// Drops the work and what came of it, or lets its driver do so.
    fn drop_work(&self) {
        let turn = self.work.try_lock();
        let left = turn.map(|mut work| (work.future.take(), work.outcome.take()));
        // not under the lock: what they hold may want to be told
        drop(left);
    }
}

impl<T> Work<T> {
    /// `true` if the work is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(future) = &mut self.future else {
            return self.outcome.is_some();
        };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(outcome)) => self.outcome = Some(Ok(outcome)),
            Err(panic) => self.outcome = Some(Err(panic)),
        }
        self.future = None;
        true
    }
}

impl<T> Future for Driven<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let shared = &self.0;
        shared.bell.is_for(cx.waker());
        let held = shared.bell.hold();
        let outcome = shared.take_turn().and_then(|mut work| {
            shared.drive(&mut work);
            let outcome = work.outcome.take();
            shared.end_turn(work);
            outcome
        });
        drop(held);
        match outcome {
            None => Poll::Pending,
            Some(Ok(outcome)) => Poll::Ready(outcome),
            // the host's own failure, to be reported as that of its task
            Some(Err(panic)) => resume_unwind(panic),
        }
    }
}

impl<T> Drop for Driven<T> {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.0.drop_work();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::{Notify, oneshot};

    /// Work that counts how often it is polled and is over when told.
    fn counting(polls: &Arc<AtomicUsize>, over: Arc<Notify>) -> BoxFuture<'static, usize> {
        let polls = Arc::clone(polls);
        Box::pin(async move {
            let mut over = std::pin::pin!(over.notified());
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Ordering::SeqCst);
                over.as_mut().poll(cx)
            })
            .await;
            7
        })
    }

    #[tokio::test]
    async fn a_lender_moves_the_work_on_and_the_task_ends_it() {
        let (polls, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let drive = Drive::new(Meter::alone());
        let task = tokio::spawn(drive.start(counting(&polls, Arc::clone(&over))));
        tokio::task::yield_now().await;
        drive.lend(Turn::none());
        drive.lend(Turn::none());
        assert_eq!(polls.load(Ordering::SeqCst), 3);
        over.notify_one();
        drive.lend(Turn::none());
        assert_eq!(task.await.unwrap(), 7);
        drive.lend(Turn::none());
        assert_eq!(polls.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn what_a_lender_left_waiting_wakes_the_task() {
        let (wake, woken) = oneshot::channel::<usize>();
        let drive = Drive::new(Meter::alone());
        let task = tokio::spawn(drive.start(Box::pin(async move { woken.await.unwrap() })));
        tokio::task::yield_now().await;
        drive.lend(Turn::none());
        wake.send(3).unwrap();
        assert_eq!(task.await.unwrap(), 3);
    }

    /// Whoever is kept from driving by somebody who only looks must not be forgotten.
    #[test]
    fn who_cannot_drive_lets_the_task_look_again() {
        let drive: Arc<Drive<()>> = Drive::new(Meter::alone());
        let mut driven = drive.start(Box::pin(std::future::pending()));
        let (task, woken) = counting_waker();
        assert!(
            driven
                .poll_unpin(&mut Context::from_waker(&task))
                .is_pending()
        );
        let looking = drive.work.lock();
        drive.lend(Turn::none());
        drop(looking);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    /// Work that waits for a message, and how often its task is woken.
    fn waiting() -> (
        Arc<Drive<()>>,
        Driven<()>,
        oneshot::Sender<()>,
        Arc<AtomicUsize>,
    ) {
        let (message, come) = oneshot::channel();
        let drive = Drive::new(Meter::alone());
        let mut driven = drive.start(Box::pin(async move { come.await.unwrap() }));
        let (task, woken) = counting_waker();
        assert!(
            driven
                .poll_unpin(&mut Context::from_waker(&task))
                .is_pending()
        );
        (drive, driven, message, woken)
    }

    #[test]
    fn what_is_held_wakes_the_task_only_if_nobody_drives_it() {
        let (drive, _driven, message, woken) = waiting();
        let hold = Hold::of(&*drive);
        message.send(()).unwrap();
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        drop(hold);
        assert_eq!(woken.load(Ordering::SeqCst), 1);

        let (drive, _driven, message, woken) = waiting();
        let hold = Hold::of(&*drive);
        message.send(()).unwrap();
        hold.settle();
        drop(hold);
        assert!(drive.is_over());
        assert_eq!(woken.load(Ordering::SeqCst), 1, "to end what is over");
    }

    #[tokio::test]
    async fn what_wakes_itself_is_driven_on_at_once_but_not_for_ever() {
        let (polls, drive) = (
            Arc::new(AtomicUsize::new(0)),
            Drive::<()>::new(Meter::alone()),
        );
        let counted = Arc::clone(&polls);
        let mut driven = drive.start(Box::pin(std::future::poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::SeqCst);
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        let (task, woken) = counting_waker();
        assert!(
            driven
                .poll_unpin(&mut Context::from_waker(&task))
                .is_pending()
        );
        drive.lend(Turn::none());
        assert_eq!(polls.load(Ordering::SeqCst), 4);
        assert_eq!(
            woken.load(Ordering::SeqCst),
            1,
            "it is woken once until it comes"
        );
    }

    /// A waker that counts.
    pub(in crate::service) fn counting_waker() -> (Waker, Arc<AtomicUsize>) {
        struct Counter(Arc<AtomicUsize>);
        impl std::task::Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let woken = Arc::new(AtomicUsize::new(0));
        (Arc::new(Counter(Arc::clone(&woken))).into(), woken)
    }

    #[test]
    fn work_that_steps_aside_is_gone_on_with_by_its_task() {
        let drive = Drive::new(Meter::alone());
        let mut driven = drive.start(Box::pin(async {
            let mut lent = false;
            poll_fn(|_| {
                if std::mem::replace(&mut lent, true) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            step_aside().await;
        }));
        let (task, woken) = counting_waker();
        let cx = &mut Context::from_waker(&task);
        assert!(driven.poll_unpin(cx).is_pending());
        drive.lend(Turn::none());
        assert!(!drive.is_over());
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert!(driven.poll_unpin(cx).is_ready());
    }

    #[tokio::test]
    async fn a_panic_under_a_lender_is_the_panic_of_the_task() {
        let drive: Arc<Drive<()>> = Drive::new(Meter::alone());
        let mut first = true;
        let work = std::future::poll_fn(move |_| {
            assert!(std::mem::take(&mut first), "as told");
            Poll::Pending
        });
        let task = tokio::spawn(drive.start(Box::pin(work)));
        tokio::task::yield_now().await;
        drive.lend(Turn::none());
        assert!(task.await.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn what_came_of_the_work_is_dropped_with_a_task_that_never_took_it() {
        let (alive, drive) = (Arc::new(()), Drive::new(Meter::alone()));
        let kept = Arc::clone(&alive);
        let driven = drive.start(Box::pin(async move { kept }));
        drive.lend(Turn::none());
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(driven);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[tokio::test]
    async fn work_is_dropped_with_its_task_even_while_another_drives_it() {
        let alive = Arc::new(());
        let (kept, drive) = (Arc::clone(&alive), Drive::<()>::new(Meter::alone()));
        let dropper: Arc<Mutex<Option<Driven<()>>>> = Arc::default();
        let inside = Arc::clone(&dropper);
        let work = std::future::poll_fn(move |_| {
            std::hint::black_box(&kept);
            // the task goes while this poll is on
            drop(inside.lock().take());
            Poll::Pending
        });
        *dropper.lock() = Some(drive.start(Box::pin(work)));
        drive.lend(Turn::none());
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
