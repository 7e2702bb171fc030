//! Guests that don't give the answer they owe, or don't finish it.

use futures::future::join_all;
use http::Method;
use wharf_tests::seen::{read, same};
use wharf_tests::{Wharf, whole};

use crate::variants::{self, VARIANTS, fronts, older, pattern, settled};

/// Instances of each service: enough for both versions of HTTP at once.
const INSTANCES: usize = 2;

/// One request at a time in each, so that a death concerns nobody else, and none is run again.
const ALONE: &str = "
    [instances]
    count = 2
    concurrency = 1
    [failover]
    replay = 'never'
";

/// As [`ALONE`], with a deadline that is soon over.
fn hurried() -> String {
    format!("{ALONE}\n[limits]\ntimeout = '1s'")
}

#[tokio::test]
async fn a_body_that_is_dropped_unfinished_never_passes_for_whole() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        for steps in [
            "head,drop-body",
            "head,write:1000,drop-body",
            "head,write:1000,flush,drop-body",
            "head,write:1000,sleep:30,write:1000,drop-body",
            "head,write:3000000,drop-body",
            "length:1000,head,drop-body",
            "length:1000,head,write:500,drop-body",
            "length:3000000,head,write:2000000,drop-body",
        ] {
            for front in fronts(&wharf) {
                let seen = front.see_get(&variant.steps(steps)).await;
                seen.no_answer(&pattern(3_000_000));
            }
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_at_its_full_length_is_what_it_was_or_broken_off() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        for length in [0, 1000, 3_000_000] {
            let steps = format!("length:{length},head,write:{length},drop-body");
            for front in fronts(&wharf) {
                let seen = front.see_get(&variant.steps(&steps)).await;
                seen.whole_or_broken(&pattern(length));
            }
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_guest_that_gives_nothing_is_answered_for() {
    let wharf = variants::all(ALONE).await;
    let refused = async |variant: &variants::Variant, steps: &str| {
        for front in fronts(&wharf) {
            let seen = front.see_get(&variant.steps(steps)).await;
            seen.whole().problem(500);
        }
    };
    for variant in older() {
        for steps in [
            "unset",
            "unset,work:50",
            "unset,sleep:50",
            "make",
            "make,drop-response",
            "make,drop-response,write:10",
            "make,write:10,finish,drop-response",
        ] {
            refused(variant, steps).await;
        }
    }
    for variant in VARIANTS {
        for steps in ["work:1", "sleep:1", "error", "read-all,error"] {
            refused(variant, steps).await;
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_response_that_was_dropped_may_be_followed_by_another() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps("make,drop-response,drop-body,head,write:1000,finish");
            let reply = front.see_get(&target).await.whole();
            same(&reply.body, &pattern(1000));
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_guest_that_traps_before_it_answers_is_answered_for() {
    let wharf = variants::all(ALONE).await;
    for variant in VARIANTS {
        let mut dead = 0;
        for steps in ["trap", "work:20,trap", "sleep:20,trap", "make,trap"] {
            for front in fronts(&wharf) {
                front
                    .see_get(&variant.steps(steps))
                    .await
                    .whole()
                    .problem(500);
                dead += 1;
                wharf.wait_exits(variant.name, "trap", dead).await;
            }
        }
        settled(&wharf, variant, INSTANCES).await;
    }
}

#[tokio::test]
async fn a_second_answer_ends_the_guest_and_changes_nothing_of_the_first() {
    let wharf = variants::all(ALONE).await;
    for variant in older() {
        let mut dead = 0;
        for (number, front) in fronts(&wharf).into_iter().enumerate() {
            // the first is over before the second is given
            let gate = format!("{}-{number}", variant.name);
            let steps = format!("head,write:1000,finish,gate:{gate},again");
            let reply = front.see_get(&variant.steps(&steps)).await.whole();
            same(&reply.body, &pattern(1000));
            variants::open_gate(&wharf, &gate).await;
            dead += 1;
            wharf.wait_exits(variant.name, "trap", dead).await;

            // the first is not over
            for steps in ["head,again", "head,write:1000,again"] {
                let seen = front.see_get(&variant.steps(steps)).await;
                seen.no_answer(&pattern(1000));
                dead += 1;
                wharf.wait_exits(variant.name, "trap", dead).await;
            }

            // the first is an error
            let seen = front.see_get(&variant.steps("error,again")).await;
            seen.whole().problem(500);
            dead += 1;
            wharf.wait_exits(variant.name, "trap", dead).await;
        }
        settled(&wharf, variant, INSTANCES).await;
        assert_eq!(wharf.count(variant.name, "exits").await, dead as u64);
    }
}

#[tokio::test]
async fn a_guest_that_never_answers_is_ended_at_its_deadline() {
    let wharf = variants::all(&hurried()).await;
    for variant in VARIANTS {
        let mut dead = 0;
        for steps in ["wait", "spin", "make,wait", "work:20,wait", "sleep:20,spin"] {
            let target = variant.steps(steps);
            let fronts = fronts(&wharf);
            let replies = join_all(fronts.iter().map(|front| front.see_get(&target))).await;
            for seen in replies {
                seen.whole().problem(504);
            }
            dead += 2;
            wharf.wait_exits(variant.name, "deadline", dead).await;
            wharf.wait_healthy(variant.name, INSTANCES).await;
        }
        settled(&wharf, variant, INSTANCES).await;
    }
}

/// Asks for these steps over both versions of HTTP at once, and asserts that neither is told a whole
/// answer.
async fn cut_off(wharf: &Wharf, target: &str) {
    let fronts = fronts(wharf);
    for seen in join_all(fronts.iter().map(|front| front.see_get(target))).await {
        seen.no_answer(&pattern(3_000_000));
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_at_its_deadline() {
    let wharf = variants::all(&hurried()).await;
    for variant in VARIANTS {
        for steps in [
            "head,wait",
            "head,write:1000,wait",
            "head,write:3000000,wait",
            "length:1000,head,write:500,wait",
            // nobody holds its end any longer
            "head,leak",
            "head,write:1000,leak",
        ] {
            cut_off(&wharf, &variant.steps(steps)).await;
            wharf.wait_healthy(variant.name, INSTANCES).await;
        }
        settled(&wharf, variant, INSTANCES).await;
    }
}

#[tokio::test]
async fn a_guest_that_spins_behind_its_head_is_ended_at_its_deadline() {
    let wharf = variants::all(&hurried()).await;
    for variant in older() {
        let mut dead = 0;
        for steps in [
            "head,spin",
            "head,write:1000,spin",
            "head,write:3000000,spin",
            "length:1000,head,write:500,spin",
        ] {
            cut_off(&wharf, &variant.steps(steps)).await;
            dead += 2;
            wharf.wait_exits(variant.name, "deadline", dead).await;
            wharf.wait_healthy(variant.name, INSTANCES).await;
        }
        settled(&wharf, variant, INSTANCES).await;
    }
}

#[tokio::test]
async fn the_head_of_a_guest_that_then_spins_is_there_at_once() {
    let wharf = variants::all("[limits]\ntimeout = '1h'").await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps("head,write:1000,flush,spin");
            let request = front.request(Method::GET, &target, whole(""));
            let client = front.client.fresh();
            let mut response = client.start(request).await.expect("the head comes");
            same(&read(&mut response, 1000).await, &pattern(1000));
        }
        // its client has gone, so it is ended long before its deadline
        settled(&wharf, variant, INSTANCES).await;
    }
}
