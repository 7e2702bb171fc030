use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::*;
use crate::service::mailbox::{self, Inbox};

fn limits() -> PoolLimits {
    PoolLimits {
        queue: 2,
        queue_wait: Duration::from_secs(5),
        max_requests: NonZeroU64::new(3),
        max_memory_before_retire: 1000,
        instances: 1,
        concurrency: NonZeroUsize::new(2).unwrap(),
        timeout: Duration::from_mins(1),
    }
}

fn add(pool: &Arc<Pool>, id: u64, capacity: usize) -> (Inbox, Arc<Vitals>) {
    let (mailbox, inbox) = mailbox::open();
    let vitals = Arc::new(Vitals::default());
    pool.add(InstanceId(id), mailbox, capacity, Arc::clone(&vitals));
    (inbox, vitals)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[tokio::test(start_paused = true)]
async fn the_least_busy_instance_gets_the_job_and_the_rest_wait_in_order() {
    let pool = Pool::new(limits());
    let _boxes = (add(&pool, 1, 1), add(&pool, 2, 1));
    let first = pool.acquire(soon(), None).await.unwrap();
    let second = pool.acquire(soon(), None).await.unwrap();
    assert_ne!(first.instance(), second.instance());

    let waiting = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move {
            pool.acquire(soon(), None)
                .await
                .map(|lease| lease.instance())
        }
    });
    tokio::task::yield_now().await;
    assert_eq!(pool.load(), (2, 1));
    let freed = second.instance();
    drop(second);
    assert_eq!(waiting.await.unwrap().unwrap(), freed);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_a_long_wait_ends() {
    let pool = Pool::new(limits());
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.acquire(soon(), None).await.err() })
        })
        .collect();
    tokio::task::yield_now().await;
    let before = Instant::now();
    assert_eq!(
        pool.acquire(soon(), None).await.err(),
        Some(Refused::Overloaded)
    );
    assert_eq!(before.elapsed(), Duration::ZERO);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Some(Refused::Overloaded));
    }
    assert_eq!(before.elapsed().as_secs(), 5);
    let deadline = Instant::now() + Duration::from_secs(1);
    assert_eq!(
        pool.acquire(deadline, None).await.err(),
        Some(Refused::Deadline)
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_given_to_somebody_who_left_goes_to_the_next() {
    let pool = Pool::new(limits());
    let _mailbox = add(&pool, 1, 1);
    let held = pool.acquire(soon(), None).await.unwrap();
    let gone = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.acquire(soon(), None).await.map(drop) }
    });
    tokio::task::yield_now().await;
    gone.abort();
    let _ = gone.await;
    drop(held);
    assert!(pool.acquire(soon(), None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_worn_out_instance_is_closed_when_its_last_lease_is_back() {
    let pool = Pool::new(limits());
    let (mut inbox, _) = add(&pool, 1, 2);
    for _ in 0..2 {
        pool.acquire(soon(), None).await.unwrap().mark_served();
    }
    let (last, other) = (
        pool.acquire(soon(), None).await.unwrap(),
        pool.acquire(soon(), None).await.unwrap(),
    );
    last.mark_served();
    drop(last);
    assert!(
        inbox.recv().now_or_never().is_none(),
        "one lease is still out"
    );
    drop(other);
    assert!(inbox.recv().await.is_none());

    let (mut inbox, vitals) = add(&pool, 2, 1);
    let lease = pool.acquire(soon(), None).await.unwrap();
    vitals.memory.store(1000, Ordering::Relaxed);
    drop(lease);
    assert!(inbox.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_and_says_when_to_come_back() {
    let pool = Pool::new(limits());
    let waiter = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.acquire(soon(), None).await.err() }
    });
    tokio::task::yield_now().await;
    let until = Instant::now() + Duration::from_secs(10);
    pool.set_phase(Phase::Broken { until });
    let refusal = Some(Refused::Broken {
        retry_after: Duration::from_secs(10),
    });
    assert_eq!(waiter.await.unwrap(), refusal);
    assert_eq!(pool.acquire(soon(), None).await.err(), refusal);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_last_lease_and_takes_no_new_jobs() {
    let pool = Pool::new(limits());
    let _mailbox = add(&pool, 1, 1);
    let lease = pool.acquire(soon(), None).await.unwrap();
    pool.set_phase(Phase::Draining);
    assert_eq!(
        pool.acquire(soon(), None).await.err(),
        Some(Refused::Closed)
    );
    let drained = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.drained().await }
    });
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    drop(lease);
    drained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_when_time_is_nearly_up_goes_to_somebody_else() {
    let pool = Pool::new(limits());
    let _mailbox = add(&pool, 1, 1);
    let held = pool.acquire(soon(), None).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    let late = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.acquire(deadline, None).await.err() }
    });
    tokio::time::sleep(Duration::from_millis(998)).await;
    drop(held);
    assert_eq!(late.await.unwrap(), Some(Refused::Deadline));
    assert_eq!(pool.load(), (0, 0));
}
