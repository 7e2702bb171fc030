use std::sync::atomic::AtomicU32;

use futures::FutureExt as _;

use super::*;
use crate::processor::spin;
use crate::service::burst;
use crate::service::meter::Meter;

const SOON: Duration = Duration::from_secs(5);

/// Makes the thread one that has worked for long.
fn tire(share: &Arc<Share>) {
    Meter::new(Arc::clone(share)).measure(|| spin(super::super::shares::QUANTUM));
    assert!(burst::is_over());
}

/// The processor's only turn.
fn taken(share: &Arc<Share>) -> Turn {
    tire(share);
    let turn = share.ask(Need::Begin).ok().expect("there is a processor");
    assert!(turn.counts());
    turn
}

/// The share of one among several that have requests.
fn share(gate: &Arc<Gate>) -> Arc<Share> {
    gate.mixed.store(u64::MAX / 2, Ordering::Relaxed);
    gate.join(Seconds::default())
}

#[tokio::test]
async fn nobody_waits_while_threads_are_not_tired() {
    let gate = Gate::new(1, 1);
    burst::rest();
    let share = share(&gate);
    for _ in 0..3 {
        let turn = share.turn(Instant::now() + SOON).now_or_never();
        assert!(!turn.expect("it doesn't wait").counts());
    }
}

#[tokio::test]
async fn on_a_tired_thread_others_go_first_and_those_with_less_at_once() {
    let gate = Gate::new(1, 1);
    let (busy, light) = (share(&gate), share(&gate));
    tire(&busy);
    let deadline = Instant::now() + SOON;
    let mut waiting = Box::pin(busy.turn(deadline));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(light.turn(deadline).now_or_never().is_some());
    // the task that gives turns out needs no more than that everything else has gone first
    assert!(waiting.await.counts());
    assert!(!burst::is_over());
}

#[tokio::test]
async fn on_a_tired_thread_nobody_waits_if_there_are_no_others() {
    let gate = Gate::new(1, 1);
    let (busy, light) = (gate.join(Seconds::default()), gate.join(Seconds::default()));
    tire(&busy);
    let deadline = Instant::now() + SOON;
    for _ in 0..3 {
        let turn = busy.turn(deadline).now_or_never();
        assert!(!turn.expect("it doesn't wait").counts());
    }
    assert!(light.turn(deadline).now_or_never().is_some());
    let mut waiting = Box::pin(busy.turn(deadline));
    assert!(
        waiting.as_mut().now_or_never().is_none(),
        "another has come"
    );
    assert!(waiting.await.counts());
}

#[tokio::test]
async fn those_that_wait_get_their_turns_one_after_the_other() {
    let gate = Gate::new(1, 1);
    let share = share(&gate);
    let first = taken(&share);
    let deadline = Instant::now() + SOON;
    let order = Arc::new(AtomicU32::new(0));
    let tasks = (0..5).map(|number| {
        let (share, order) = (Arc::clone(&share), Arc::clone(&order));
        tokio::spawn(async move {
            let turn = share.turn(deadline).await;
            assert_eq!(order.fetch_add(1, Ordering::SeqCst), number);
            Meter::new(Arc::clone(&share)).measure(|| spin(Duration::from_millis(1)));
            drop(turn);
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::task::yield_now().await;
    assert_eq!(order.load(Ordering::SeqCst), 0);
    drop(first);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(!gate.is_crowded());
}

#[tokio::test(start_paused = true)]
async fn the_gate_gives_way_before_a_deadline() {
    let gate = Gate::new(1, 1);
    let share = share(&gate);
    let _taken = taken(&share);
    let deadline = Instant::now() + SOON;
    let turn = share.turn(deadline).await;
    assert!(!turn.counts());
    assert_eq!(Instant::now(), deadline - MARGIN);
}

#[tokio::test]
async fn an_idle_thread_lets_go_on_whoever_waits() {
    let gate = Gate::new(1, 1);
    let share = share(&gate);
    let _taken = taken(&share);
    let mut waiting = Box::pin(share.turn(Instant::now() + SOON));
    assert!(waiting.as_mut().now_or_never().is_none());
    gate.idle();
    let turn = waiting.as_mut().now_or_never();
    assert!(turn.is_some_and(|turn| turn.counts()));
}

#[tokio::test]
async fn who_goes_away_while_waiting_leaves_its_turn_to_others() {
    let gate = Gate::new(1, 1);
    let share = share(&gate);
    let taken = taken(&share);
    let deadline = Instant::now() + SOON;
    let mut gone = Box::pin(share.turn(deadline));
    let mut other = Box::pin(share.turn(deadline));
    assert!(gone.as_mut().now_or_never().is_none());
    assert!(other.as_mut().now_or_never().is_none());
    drop(gone);
    drop(taken);
    assert!(other.await.counts());
    assert!(!gate.is_crowded());
}

#[tokio::test]
async fn an_interrupted_guest_has_its_turn_until_it_has_worked() {
    let gate = Gate::new(1, 1);
    let share = share(&gate);
    tire(&share);
    let meter = Meter::new(Arc::clone(&share));
    Arc::clone(&meter).interrupted(None).await;
    tire(&share);
    let mut waiting = Box::pin(share.turn(Instant::now() + SOON));
    assert!(waiting.as_mut().now_or_never().is_none());
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert!(
        waiting.as_mut().now_or_never().is_none(),
        "the guest has the processor"
    );
    meter.measure(|| ());
    assert!(waiting.await.counts());
}
