//! The ways in which a service can be run. What a guest may do wrong is tried in each of them.
//!
//! The fault components answer `steps?do=STEP,STEP:ARGUMENT,…` step by step; see there for what the
//! steps are. A guest at the step `gate:KEY` goes no further until the test opens that gate, so that
//! no test depends on who is faster.

use std::path::PathBuf;

use wharf_tests::{Target, Wharf};

use crate::{counter, fault, fault_p3};

/// One way to run a service.
pub(crate) struct Variant {
    /// The service's name in the tests' servers.
    pub name: &'static str,
    /// The generation of `wasi:http` that its component is of.
    pub generation: u8,
    component: fn() -> PathBuf,
    /// What stands at the top of its manifest, before the tables that a test wants.
    keys: &'static str,
}

/// All of them. One more is one more line.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant::new("two", 2, fault, ""),
    Variant::new("three", 3, fault_p3, ""),
    Variant::new("fresh", 2, fault, "isolation = 'request'"),
];

/// What every service here gets besides: a bucket for its gates, and no breaker that opens because
/// a test lets many instances die on purpose.
const TABLES: &str = "
    [grants]
    keyvalue = ['gates']
    [restart]
    max_failures = 1000
    backoff_min = '1ms'
    backoff_max = '1ms'
";

impl Variant {
    const fn new(
        name: &'static str,
        generation: u8,
        component: fn() -> PathBuf,
        keys: &'static str,
    ) -> Self {
        Self {
            name,
            generation,
            component,
            keys,
        }
    }

    /// The target that makes this service take these steps.
    pub(crate) fn steps(&self, steps: &str) -> String {
        format!("/{}/steps?do={steps}", self.name)
    }
}

/// The variants of the older generation, which has more ways to go wrong.
pub(crate) fn older() -> impl Iterator<Item = &'static Variant> {
    VARIANTS.iter().filter(|variant| variant.generation == 2)
}

/// A server with a service of every variant, all with these tables in their manifests, and with
/// `porter`, who opens gates.
pub(crate) async fn all(tables: &str) -> Wharf {
    started(Wharf::builder(), tables).await
}

/// As [`all`], from a server that is already described in part.
pub(crate) async fn started(builder: wharf_tests::Builder, tables: &str) -> Wharf {
    let mut builder = builder
        .service("porter", fault())
        .manifest("porter", "[grants]\nkeyvalue = ['gates']");
    for variant in VARIANTS {
        let manifest = format!("{}\n{tables}\n{TABLES}", variant.keys);
        builder = builder
            .service(variant.name, (variant.component)())
            .manifest(variant.name, &manifest);
    }
    builder.start().await
}

/// Both versions of HTTP to ask a server by.
pub(crate) fn fronts(wharf: &Wharf) -> [Target; 2] {
    [wharf.front.clone(), wharf.front.http2()]
}

/// Lets the guests at this gate, and all that come, go on.
pub(crate) async fn open_gate(wharf: &Wharf, key: &str) {
    let target = format!("/porter/kv?op=increment&bucket=gates&key={key}");
    let reply = wharf.post(&target, "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// How often guests have taken the step `mark` with this key.
pub(crate) async fn marks(wharf: &Wharf, key: &str) -> i64 {
    counter(wharf, "porter", "gates", key).await
}

/// Waits until a service is as its manifest wants it, with so many instances and nothing left of
/// earlier requests, and asserts that it answers.
pub(crate) async fn settled(wharf: &Wharf, variant: &Variant, instances: usize) {
    wharf.wait_healthy(variant.name, instances).await;
    wharf.wait_in_flight(variant.name, 0).await;
    let target = variant.steps("head,write:100,finish");
    for _ in 0..2 * instances {
        let reply = wharf.front.see_get(&target).await.whole();
        assert_eq!(reply.status, 200, "{reply:?}");
        wharf_tests::seen::same(&reply.body, &pattern(100));
    }
}

/// The first bytes of what the step `write` writes.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let byte = |place: usize| {
        let [low, middle, high, ..] = place.to_le_bytes();
        low.wrapping_mul(31) ^ middle.wrapping_mul(7) ^ high
    };
    (0..length).map(byte).collect()
}
