//! Guests that spin when their request is over, or should be. They fail today for the 0.3
//! generation: an instance whose requests have all left its list has no deadline any more, and
//! while it spins it takes no new ones in, so whoever is given a place in it waits in vain.

use wharf_tests::seen::same;
use wharf_tests::wait_until;

use crate::variants::{self, VARIANTS, Variant, fronts, pattern, settled};

const SHORT: &str = "[instances]\ncount = 1\nconcurrency = 4\n[limits]\ntimeout = '1s'";

/// Waits until the service has got rid of its spinning guest.
async fn recovered(wharf: &wharf_tests::Wharf, variant: &Variant) {
    wait_until("the service answered again", || async {
        wharf.get(&format!("/{}/hello", variant.name)).await.status == 200
    })
    .await;
    settled(wharf, variant, 1).await;
}

#[tokio::test]
async fn a_guest_that_spins_after_its_whole_answer_is_ended() {
    let wharf = variants::all(SHORT).await;
    for variant in VARIANTS {
        for front in fronts(&wharf) {
            let target = variant.steps("head,write:1000,finish,spin");
            let reply = front.see_get(&target).await.whole();
            same(&reply.body, &pattern(1000));
            recovered(&wharf, variant).await;
        }
    }
}

#[tokio::test]
async fn a_guest_that_spins_behind_its_head_is_ended_each_time() {
    let wharf = variants::all(SHORT).await;
    for variant in VARIANTS {
        for _ in 0..10 {
            let target = variant.steps("head,write:1000,spin");
            let seen = wharf.front.see_get(&target).await;
            seen.no_answer(&pattern(1000));
            recovered(&wharf, variant).await;
        }
    }
}
