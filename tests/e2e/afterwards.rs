//! Guests that have given their whole answer and then go on: working, waiting, trapping.

use wharf_tests::seen::same;
use wharf_tests::wait_until;

use crate::variants::{self, VARIANTS, fronts, older, open_gate, pattern, settled};

const INSTANCES: usize = 2;

const ALONE: &str = "
    [instances]
    count = 2
    concurrency = 1
    [limits]
    timeout = '100s'
    queue_wait = '100s'
";

/// Answers, as the steps that give them, and the length of their bodies.
const ANSWERS: [(&str, usize); 8] = [
    ("head,finish", 0),
    ("head,write:1,finish", 1),
    ("head,write:1000,flush,finish", 1000),
    ("head,write:100000,finish", 100_000),
    ("head,write:3000000,finish", 3_000_000),
    ("length:0,head,finish", 0),
    ("length:1000,head,write:1000,finish", 1000),
    ("announce,head,write:1000,trailers", 1000),
];

#[tokio::test]
async fn a_whole_answer_doesnt_wait_for_what_the_guest_does_next() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        for (number, (answer, length)) in ANSWERS.into_iter().enumerate() {
            let gate = format!("{}-{number}", variant.name);
            let target = variant.steps(&format!("{answer},gate:{gate},mark:{gate}-done"));
            for front in fronts(&wharf) {
                // in two instances at once, and neither gets any further
                let reply = front.see_get(&target).await.whole();
                assert_eq!(reply.status, 200, "{reply:?}");
                same(&reply.body, &pattern(length));
            }
            open_gate(&wharf, &gate).await;
            let done = format!("{gate}-done");
            wharf_tests::wait_until("both went on to their end", || async {
                variants::marks(&wharf, &done).await == 2
            })
            .await;
            settled(&wharf, variant, INSTANCES).await;
        }
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_guest_that_works_on_after_its_answer_costs_nobody_anything() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        for after in ["work:100", "sleep:100", "work:50,sleep:50"] {
            for (answer, length) in ANSWERS {
                let front = &wharf.front;
                let target = variant.steps(&format!("{answer},{after}"));
                // on one connection, so that the next request meets a guest that still works
                for _ in 0..3 {
                    let reply = front.get(&target).await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    same(&reply.body, &pattern(length));
                }
            }
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_trap_after_the_whole_answer_is_seen_by_the_operator_alone() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        let mut dead = 0;
        for (number, (answer, length)) in ANSWERS.into_iter().enumerate() {
            for (version, front) in fronts(&wharf).into_iter().enumerate() {
                let gate = format!("{}-{number}-{version}", variant.name);
                let target = variant.steps(&format!("{answer},gate:{gate},trap"));
                let reply = front.see_get(&target).await.whole();
                assert_eq!(reply.status, 200, "{reply:?}");
                same(&reply.body, &pattern(length));
                open_gate(&wharf, &gate).await;
                dead += 1;
                wharf.wait_exits(variant.name, "trap", dead).await;
            }
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "replays").await, 0);
    }
}

#[tokio::test]
async fn a_trap_on_the_heels_of_the_answer_never_makes_it_look_other_than_it_was() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        let mut dead = 0;
        for (answer, length) in ANSWERS {
            for front in fronts(&wharf) {
                let seen = front
                    .see_get(&variant.steps(&format!("{answer},trap")))
                    .await;
                seen.whole_or_broken(&pattern(length));
                dead += 1;
                // one of which nothing had gone out may have been asked for again
                wait_until("each try to have ended its instance", async || {
                    let replays = wharf.count(variant.name, "replays").await;
                    let exits = wharf.exits_by(variant.name, "trap").await.len();
                    exits as u64 == dead + replays
                })
                .await;
            }
        }
        settled(&wharf, variant, INSTANCES).await;
    }
}

#[tokio::test]
async fn an_answer_is_whole_even_if_its_guest_then_spins() {
    let wharf = variants::all("[instances]\ncount = 4\n[limits]\ntimeout = '10s'").await;
    for variant in older() {
        for (answer, length) in [ANSWERS[2], ANSWERS[6]] {
            for front in fronts(&wharf) {
                let target = variant.steps(&format!("{answer},spin"));
                let reply = front.see_get(&target).await.whole();
                assert_eq!(reply.status, 200, "{reply:?}");
                same(&reply.body, &pattern(length));
            }
        }
        wharf.wait_exits(variant.name, "deadline", 4).await;
        settled(&wharf, variant, 4).await;
    }
}
