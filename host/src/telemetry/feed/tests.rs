use std::pin::Pin;

use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

use super::*;

impl Entry for u64 {
    fn bytes(&self) -> usize {
        10
    }
}

type Following = Pin<Box<dyn Stream<Item = Next<u64>> + Send>>;

fn feed(entries: usize) -> Arc<Feed<u64>> {
    let bytes = usize::MAX;
    Feed::new(Bounds { entries, bytes })
}

fn follow(feed: &Arc<Feed<u64>>, start: Start) -> Following {
    Box::pin(feed.follow(start, |_| true))
}

/// What a follower gets without waiting: an entry as it is, what was missed as 0.
fn drain(following: &mut Following) -> Vec<u64> {
    let mut got = Vec::new();
    while let Some(Some(next)) = following.next().now_or_never() {
        got.push(match next {
            Next::Entry(entry) => *entry,
            Next::Missed { .. } => 0,
        });
    }
    got
}

#[test]
fn the_backlog_joins_what_comes_live() {
    let feed = feed(10);
    (0..5).for_each(|_| drop(feed.push(|number| number)));
    let mut following = follow(&feed, Start::Last(2));
    // after the call and before the first poll
    feed.push(|number| number);
    assert_eq!(drain(&mut following), [4, 5, 6]);
    feed.push(|number| number);
    assert_eq!(drain(&mut following), [7]);
    assert_eq!(drain(&mut follow(&feed, Start::Last(0))), [0; 0]);
    assert_eq!(drain(&mut follow(&feed, Start::After(5))), [6, 7]);
    assert_eq!(drain(&mut follow(&feed, Start::After(900))), [0; 0]);
    assert_eq!(feed.last(2, |_| true), [6.into(), 7.into()]);
}

#[test]
fn a_slow_follower_is_told_what_it_missed_and_goes_on() {
    let feed = feed(3);
    let mut following = follow(&feed, Start::Last(0));
    (0..10).for_each(|_| drop(feed.push(|number| number)));
    let missed = following.next().now_or_never().unwrap().unwrap();
    assert!(matches!(missed, Next::Missed { count: 7, last: 7 }));
    assert_eq!(drain(&mut following), [8, 9, 10]);
}

#[test]
fn a_backlog_of_all_that_is_kept_misses_nothing() {
    let feed = feed(3);
    (0..10).for_each(|_| drop(feed.push(|number| number)));
    assert_eq!(drain(&mut follow(&feed, Start::Last(50))), [8, 9, 10]);
}

#[test]
fn who_wants_some_gets_as_many_of_those() {
    let feed = feed(100);
    (0..20).for_each(|_| drop(feed.push(|number| number)));
    let fifth = |number: &u64| number.is_multiple_of(5);
    let mut following: Following = Box::pin(feed.follow(Start::Last(2), fifth));
    assert_eq!(drain(&mut following), [15, 20]);
    assert_eq!(feed.last(2, fifth), [15.into(), 20.into()]);
}

#[tokio::test]
async fn who_waits_is_woken_by_an_entry_and_by_the_end() {
    let feed = feed(3);
    let mut following = follow(&feed, Start::Last(0));
    let waiting = tokio::spawn(async move {
        let first = following.next().await;
        (matches!(first, Some(Next::Entry(_))), following)
    });
    tokio::task::yield_now().await;
    feed.push(|number| number);
    let (got, mut following) = waiting.await.unwrap();
    assert!(got);
    let waiting = tokio::spawn(async move { following.next().await.is_none() });
    tokio::task::yield_now().await;
    feed.close();
    assert!(waiting.await.unwrap());
}

#[test]
fn writers_and_a_follower_on_threads_of_their_own_lose_nothing() {
    let feed = feed(100_000);
    let mut following = follow(&feed, Start::Last(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| drop(feed.push(|number| number))));
        }
        let got = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(async {
                let mut got = Vec::new();
                while got.len() < 4000 {
                    match following.next().await {
                        Some(Next::Entry(entry)) => got.push(*entry),
                        other => panic!("{other:?}"),
                    }
                }
                got
            })
        });
        assert!(got.join().unwrap().into_iter().eq(1..=4000));
    });
}

proptest! {
    #[test]
    fn the_bounds_hold_and_followers_get_all_or_are_told(
        entries in 1usize..20,
        bytes in 0usize..300,
        reads in proptest::collection::vec(0usize..40, 1..20),
    ) {
        let feed = Feed::new(Bounds { entries, bytes });
        let mut following: Following = Box::pin(feed.follow(Start::Last(0), |_| true));
        let (mut expected, mut pushed) = (1, 0);
        for pushes in reads {
            (0..pushes).for_each(|_| drop(feed.push(|number| number)));
            pushed += pushes as u64;
            let kept = feed.last(usize::MAX, |_| true).len();
            prop_assert!(kept <= entries && (kept * 10 <= bytes || kept <= 1));
            while let Some(Some(next)) = following.next().now_or_never() {
                match next {
                    Next::Entry(entry) => prop_assert_eq!(*entry, expected),
                    Next::Missed { count, last } => {
                        prop_assert_eq!(expected + count, last + 1);
                        expected = last;
                    }
                }
                expected += 1;
            }
            prop_assert_eq!(expected, pushed + 1);
        }
    }
}
