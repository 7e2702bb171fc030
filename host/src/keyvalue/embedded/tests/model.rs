//! Random operations on the store, and the same on a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::super::{Revision, Swap, Versioned};
use super::*;

type Key = &'static str;

#[derive(Debug, Clone)]
enum Step {
    Set(Key, Vec<u8>),
    Delete(Key),
    Increment(Key, i64),
    /// Swap with a revision that is current.
    Swap(Key, Vec<u8>),
    /// Swap with the one that was read before the last write of any key.
    SwapStale(Key, Vec<u8>),
    SetMany(Vec<(Key, Vec<u8>)>),
    DeleteMany(Vec<Key>),
    Reopen,
}

/// Keys that could be taken for one another, or for another bucket's.
fn keys() -> impl Strategy<Value = Key> {
    prop::sample::select(vec![
        "a",
        "a\0",
        "aa",
        "\0",
        "\u{1}",
        "b\0a",
        "\u{10ffff}",
        "ä",
    ])
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..5000),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (keys(), values()).prop_map(|(key, value)| Step::Set(key, value)),
        3 => keys().prop_map(Step::Delete),
        3 => (keys(), any::<i64>()).prop_map(|(key, delta)| Step::Increment(key, delta)),
        2 => (keys(), values()).prop_map(|(key, value)| Step::Swap(key, value)),
        2 => (keys(), values()).prop_map(|(key, value)| Step::SwapStale(key, value)),
        1 => prop::collection::vec((keys(), values()), 0..5).prop_map(Step::SetMany),
        1 => prop::collection::vec(keys(), 0..5).prop_map(Step::DeleteMany),
        1 => Just(Step::Reopen),
    ]
}

/// What a bucket should hold, and in which step each value was written.
#[derive(Default)]
struct Model {
    entries: BTreeMap<Key, (usize, Vec<u8>)>,
    step: usize,
}

impl Model {
    fn set(&mut self, key: Key, value: Vec<u8>) {
        self.entries.insert(key, (self.step, value));
    }

    fn value(&self, key: Key) -> Option<Vec<u8>> {
        self.entries.get(key).map(|(_, value)| value.clone())
    }

    fn increment(&mut self, key: Key, delta: i64) -> Result<i64, KeyValueError> {
        let number = match self.value(key) {
            None => 0,
            Some(value) => String::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or(KeyValueError::NotANumber)?,
        };
        let sum = number.checked_add(delta).ok_or(KeyValueError::Overflow)?;
        self.set(key, sum.to_string().into_bytes());
        Ok(sum)
    }
}

/// What a reader saw in some earlier step.
struct Seen {
    step: usize,
    revision: Revision,
    present: bool,
}

async fn check(steps: Vec<Step>) {
    let disk = Disk::default();
    let mut store = start(&disk);
    let neighbour = store.open("bucke").await.unwrap();
    neighbour.set("tkey", b"untouched".to_vec()).await.unwrap();
    let mut bucket = bucket(&store).await;
    let mut model = Model::default();
    let mut seen: BTreeMap<Key, Seen> = BTreeMap::new();
    for step in steps {
        model.step += 1;
        match step {
            Step::Set(key, value) => {
                bucket.set(key, value.clone()).await.unwrap();
                model.set(key, value);
            }
            Step::Delete(key) => {
                bucket.delete(key).await.unwrap();
                model.entries.remove(key);
            }
            Step::Increment(key, delta) => {
                let expected = model.increment(key, delta);
                assert_eq!(bucket.increment(key, delta).await, expected);
            }
            Step::Swap(key, value) => {
                let Versioned { revision, .. } = bucket.read_for_swap(key).await.unwrap();
                let outcome = bucket.swap(key, revision, value.clone()).await;
                assert_eq!(outcome, Ok(Swap::Done));
                model.set(key, value);
            }
            Step::SwapStale(key, value) => {
                // The first time, only look.
                if let Some(Seen {
                    step,
                    revision,
                    present,
                }) = seen.remove(key)
                {
                    let same = match model.entries.get(key) {
                        Some((written, _)) => present && *written <= step,
                        None => !present,
                    };
                    let outcome = bucket.swap(key, revision, value.clone()).await.unwrap();
                    match outcome {
                        Swap::Done => assert!(same, "a swap overwrote what it had not seen"),
                        Swap::Conflict(current) => {
                            assert!(!same, "a swap conflicted with nothing");
                            assert_eq!(current.value, model.value(key));
                        }
                    }
                    if same {
                        model.set(key, value);
                    }
                }
                let now = bucket.read_for_swap(key).await.unwrap();
                assert_eq!(now.value, model.value(key));
                let present = now.value.is_some();
                let (step, revision) = (model.step, now.revision);
                seen.insert(
                    key,
                    Seen {
                        step,
                        revision,
                        present,
                    },
                );
            }
            Step::SetMany(pairs) => {
                let given = pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), value.clone()));
                bucket.set_many(given.collect()).await.unwrap();
                for (key, value) in pairs {
                    model.set(key, value);
                }
            }
            Step::DeleteMany(keys) => {
                let given = keys.iter().map(|key| (*key).to_owned()).collect();
                bucket.delete_many(given).await.unwrap();
                for key in keys {
                    model.entries.remove(key);
                }
            }
            Step::Reopen => {
                store.close().await;
                store = start(&disk);
                bucket = super::bucket(&store).await;
            }
        }
        compare(&*bucket, &model).await;
    }
    let neighbour = store.open("bucke").await.unwrap();
    assert_eq!(neighbour.list_keys(None).await.unwrap().keys, ["tkey"]);
}

async fn compare(bucket: &dyn Bucket, model: &Model) {
    let keys = bucket.list_keys(None).await.unwrap().keys;
    assert!(keys.iter().eq(model.entries.keys()), "{keys:?}");
    let expected: Vec<_> = model.entries.keys().map(|key| model.value(key)).collect();
    for (key, value) in keys.iter().zip(&expected) {
        assert_eq!(bucket.get(key).await.unwrap(), *value);
        assert!(bucket.exists(key).await.unwrap());
    }
    assert_eq!(bucket.get_many(keys).await.unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_store_does_what_a_map_does(steps in prop::collection::vec(steps(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(steps));
    }
}
