//! The key-value store that guests are given.

use serde_json::{Value, json};
use wharf_tests::{Wharf, test_guest};

use crate::{counter, fault, value_of};

const GRANT: &str = "[grants]\nkeyvalue = ['shared']";

/// One operation on the bucket `shared`, and its result.
async fn kv(wharf: &Wharf, query: &str) -> Value {
    let reply = wharf
        .post(&format!("/fault/kv?bucket=shared&{query}"), "")
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[tokio::test]
async fn every_operation_of_the_store_works() {
    let wharf = Wharf::with_manifest("fault", fault(), GRANT).await;
    assert_eq!(kv(&wharf, "op=get&key=a").await, json!({ "ok": null }));
    assert_eq!(kv(&wharf, "op=exists&key=a").await, json!({ "ok": false }));
    assert_eq!(
        kv(&wharf, "op=set&key=a&value=1").await,
        json!({ "ok": null })
    );
    assert_eq!(
        kv(&wharf, "op=set&key=b&value=").await,
        json!({ "ok": null })
    );
    assert_eq!(kv(&wharf, "op=get&key=a").await, json!({ "ok": "1" }));
    assert_eq!(
        kv(&wharf, "op=get&key=b").await,
        json!({ "ok": "" }),
        "empty isn't absent"
    );
    assert_eq!(kv(&wharf, "op=exists&key=b").await, json!({ "ok": true }));
    assert_eq!(kv(&wharf, "op=list").await, json!({ "ok": ["a", "b"] }));
    assert_eq!(
        kv(&wharf, "op=set&key=a&value=2").await,
        json!({ "ok": null })
    );
    assert_eq!(kv(&wharf, "op=get&key=a").await, json!({ "ok": "2" }));
    assert_eq!(kv(&wharf, "op=delete&key=a").await, json!({ "ok": null }));
    assert_eq!(
        kv(&wharf, "op=delete&key=a").await,
        json!({ "ok": null }),
        "deleting twice is fine"
    );
    assert_eq!(kv(&wharf, "op=list").await, json!({ "ok": ["b"] }));
}

#[tokio::test]
async fn every_operation_of_the_batch_interface_works() {
    let wharf = Wharf::with_manifest("fault", fault(), GRANT).await;
    let set = kv(
        &wharf,
        "op=set-many&key=a&value=1&key=b&value=2&key=c&value=3",
    )
    .await;
    assert_eq!(set, json!({ "ok": null }));
    let found = kv(&wharf, "op=get-many&key=c&key=absent&key=a").await;
    assert_eq!(found, json!({ "ok": [["c", "3"], null, ["a", "1"]] }));
    let gone = kv(&wharf, "op=delete-many&key=a&key=absent&key=c").await;
    assert_eq!(gone, json!({ "ok": null }));
    assert_eq!(kv(&wharf, "op=list").await, json!({ "ok": ["b"] }));
}

#[tokio::test]
async fn all_keys_of_a_large_bucket_are_listed() {
    let wharf = Wharf::with_manifest("fault", fault(), GRANT).await;
    let mut expected = Vec::new();
    for batch in 0..25 {
        let keys = (0..100).map(|number| format!("key-{batch:02}-{number:02}"));
        let keys: Vec<_> = keys.collect();
        let pairs: Vec<_> = keys
            .iter()
            .map(|key| format!("key={key}&value=x"))
            .collect();
        let query = pairs.join("&");
        assert_eq!(
            kv(&wharf, &format!("op=set-many&{query}")).await,
            json!({ "ok": null })
        );
        expected.extend(keys);
    }
    assert_eq!(kv(&wharf, "op=list").await, json!({ "ok": expected }));
}

#[tokio::test]
async fn a_swap_succeeds_only_if_nobody_else_wrote_in_between() {
    let wharf = Wharf::with_manifest("fault", fault(), GRANT).await;
    let created = kv(&wharf, "op=cas&key=k&value=first").await;
    assert_eq!(created, json!({ "ok": { "swapped": true, "seen": null } }));
    let swapped = kv(&wharf, "op=cas&key=k&value=second").await;
    assert_eq!(
        swapped,
        json!({ "ok": { "swapped": true, "seen": "first" } })
    );
    let lost = kv(&wharf, "op=cas&key=k&value=third&disturb=other").await;
    assert_eq!(lost["ok"]["swapped"], false, "{lost}");
    assert_eq!(
        lost["ok"]["now"], "other",
        "the new handle shows what is there now: {lost}"
    );
    assert_eq!(value_of(&wharf, "fault", "shared", "k").await, "other");
    // Creating is exclusive as well.
    let taken = kv(&wharf, "op=cas&key=new&value=mine&disturb=theirs").await;
    assert_eq!(taken["ok"]["swapped"], false, "{taken}");
}

#[tokio::test]
async fn no_increment_is_lost_among_many_at_once() {
    let manifest = "[instances]\ncount = 4\n[grants]\nkeyvalue = ['shared']\n[limits]\nqueue_wait = '100s'\ntimeout = '100s'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let target = "/fault/kv?op=increment&bucket=shared&key=n";
    let replies = crate::all_at_once(&wharf.front, target, 200).await;
    let mut counts: Vec<_> = replies
        .into_iter()
        .map(|reply| {
            reply.expect("it is answered").json()["ok"]
                .as_i64()
                .expect("a count")
        })
        .collect();
    counts.sort_unstable();
    assert!(
        counts.iter().copied().eq(1..=200),
        "each saw a count of its own: {counts:?}"
    );
    assert_eq!(
        kv(&wharf, "op=increment&key=n&delta=-50").await,
        json!({ "ok": 150 })
    );
}

#[tokio::test]
async fn incrementing_what_is_no_number_is_an_error_and_changes_nothing() {
    let wharf = Wharf::with_manifest("fault", fault(), GRANT).await;
    kv(&wharf, "op=set&key=text&value=hello").await;
    let refused = kv(&wharf, "op=increment&key=text").await;
    assert!(refused["error"].is_string(), "{refused}");
    assert_eq!(value_of(&wharf, "fault", "shared", "text").await, "hello");
}

#[tokio::test]
async fn a_bucket_is_shared_by_those_who_are_granted_it() {
    let wharf = Wharf::builder()
        .service("writer", fault())
        .manifest("writer", GRANT)
        .service("reader", fault())
        .manifest("reader", GRANT)
        .service("stranger", fault())
        .manifest("stranger", "[grants]\nkeyvalue = ['another']")
        .start()
        .await;
    wharf
        .post("/writer/kv?op=set&bucket=shared&key=k&value=v", "")
        .await;
    assert_eq!(value_of(&wharf, "reader", "shared", "k").await, "v");
    assert_eq!(
        value_of(&wharf, "stranger", "another", "k").await,
        Value::Null
    );
    let refused = wharf.get("/stranger/kv?op=get&bucket=shared&key=k").await;
    assert_eq!(refused.json(), json!({ "error": "access-denied" }));
}

#[tokio::test]
async fn both_drafts_of_the_interface_share_the_same_buckets() {
    let wharf = Wharf::builder()
        .service("older", test_guest("keyvalue-draft"))
        .manifest("older", GRANT)
        .service("fault", fault())
        .manifest("fault", GRANT)
        .start()
        .await;
    kv(&wharf, "op=set&key=from-draft2&value=newer").await;
    let older = wharf.get("/older?bucket=shared").await;
    let expected =
        "elsewhere=newer gone=true count=5 found=1 keys=draft-count,from-draft,from-draft2";
    assert_eq!(older.text(), expected);
    assert_eq!(
        value_of(&wharf, "fault", "shared", "from-draft").await,
        "written by draft"
    );
    assert_eq!(counter(&wharf, "fault", "shared", "draft-count").await, 5);

    let refused = wharf.get("/older?bucket=other").await;
    assert_eq!(refused.text(), "error: access-denied");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let mut wharf = Wharf::with_manifest("fault", fault(), GRANT).await;
    kv(&wharf, "op=set&key=k&value=v").await;
    kv(&wharf, "op=increment&key=n&delta=7").await;
    wharf.terminate();
    wharf.wait_exit().await;
    wharf.restart().await;
    assert_eq!(value_of(&wharf, "fault", "shared", "k").await, "v");
    assert_eq!(counter(&wharf, "fault", "shared", "n").await, 7);
}
