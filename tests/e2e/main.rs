//! End-to-end tests: what a user of Wharf would notice, against its real binary.
//!
//! One module per topic. Each test has a server of its own; nothing is shared but what cargo built.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as the test itself does"
)]

mod accounts;
mod admin;
mod afterwards;
mod api;
mod balance;
mod bodies;
mod calls;
mod canary;
mod cli;
mod compiled;
mod compiling;
mod coverage;
mod dashboard;
mod deadline;
mod departures;
mod deploy;
mod dev;
mod drain;
mod durability;
mod failover;
mod generations;
mod grants;
mod headers;
mod hygiene;
mod isolation;
mod keyvalue;
mod matching;
mod misbehaviour;
mod neighbours;
mod new;
mod operator;
mod overload;
mod overtime;
mod poison;
mod protocols;
mod refusal;
mod releases;
mod routes;
mod shares;
mod signup;
mod supervision;
mod telemetry;
mod typed;
mod variants;

use std::path::PathBuf;

use wharf_tests::{Reply, Target, Wharf, test_guest};

/// All that the fault component imports.
const GRANTED: &str = "
    [grants]
    keyvalue = ['counts']
    http = ['http://127.0.0.1:1']
    services = ['hello']
    [grants.config]
    answer = '42'
";

/// The component of the 0.2 generation that does what it is asked to.
fn fault() -> PathBuf {
    test_guest("fault")
}

/// The same for the 0.3 generation.
fn fault_p3() -> PathBuf {
    test_guest("fault-p3")
}

/// What a key of a bucket holds, read by way of `service`, which has to be granted it.
async fn value_of(wharf: &Wharf, service: &str, bucket: &str, key: &str) -> serde_json::Value {
    let reply = wharf
        .get(&format!("/{service}/kv?op=get&bucket={bucket}&key={key}"))
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["ok"].clone()
}

/// How far a counter in a bucket has come, read as [`value_of`] reads.
async fn counter(wharf: &Wharf, service: &str, bucket: &str, key: &str) -> i64 {
    // Adding nothing tells a counter without a word about how it is stored.
    let target = format!("/{service}/kv?op=increment&delta=0&bucket={bucket}&key={key}");
    let reply = wharf.post(&target, "").await;
    let count = reply.json()["ok"].as_i64();
    count.unwrap_or_else(|| panic!("no count: {reply:?}"))
}

/// Sends so many GETs at once and waits for all.
async fn all_at_once(target: &Target, path: &str, count: usize) -> Vec<Result<Reply, String>> {
    let requests = (0..count).map(|_| target.try_get(path));
    futures::future::join_all(requests).await
}
