use tokio::task::JoinSet;

use super::super::super::{
    KeyPage, MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_PAGE_KEYS, MAX_VALUE_BYTES, Revision, Swap,
    Versioned,
};
use super::*;

async fn fresh() -> Arc<dyn Bucket> {
    bucket(&EmbeddedStore::in_memory()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_who_create_a_key_one_does() {
    let bucket = fresh().await;
    let mut creators = JoinSet::new();
    for number in 0..200_u8 {
        let bucket = Arc::clone(&bucket);
        creators.spawn(async move {
            let absent = bucket.read_for_swap("key").await.unwrap();
            let outcome = bucket.swap("key", Revision(0), vec![number]).await.unwrap();
            (number, absent.value.is_none(), outcome)
        });
    }
    let ended = creators.join_all().await;
    let winners: Vec<u8> = ended
        .iter()
        .filter(|(_, _, outcome)| *outcome == Swap::Done)
        .map(|(number, absent, _)| {
            assert!(absent, "the winner must have found nothing");
            *number
        })
        .collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let current = bucket.read_for_swap("key").await.unwrap();
    assert_eq!(current.value, Some(winners.clone()));
    for (_, _, outcome) in ended {
        if let Swap::Conflict(found) = outcome {
            assert_eq!(found, current);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_add_up() {
    let bucket = fresh().await;
    let mut counters = JoinSet::new();
    for _ in 0..50 {
        let bucket = Arc::clone(&bucket);
        counters.spawn(async move {
            for _ in 0..20 {
                bucket.increment("number", 3).await.unwrap();
                bucket.increment("number", -1).await.unwrap();
            }
        });
    }
    counters.join_all().await;
    assert_eq!(bucket.get("number").await, Ok(Some(b"2000".to_vec())));
}

#[tokio::test]
async fn a_swap_notices_that_a_value_went_and_came_back() {
    let bucket = fresh().await;
    bucket.set("key", b"A".to_vec()).await.unwrap();
    let seen = bucket.read_for_swap("key").await.unwrap();
    bucket.set("key", b"B".to_vec()).await.unwrap();
    bucket.set("key", b"A".to_vec()).await.unwrap();
    let outcome = bucket
        .swap("key", seen.revision, b"C".to_vec())
        .await
        .unwrap();
    let Swap::Conflict(current) = outcome else {
        panic!("swapped")
    };
    assert_eq!(current.value, seen.value);

    bucket.delete("key").await.unwrap();
    bucket.set("key", b"A".to_vec()).await.unwrap();
    let outcome = bucket
        .swap("key", current.revision, b"C".to_vec())
        .await
        .unwrap();
    let Swap::Conflict(current) = outcome else {
        panic!("swapped")
    };
    let outcome = bucket.swap("key", current.revision, b"C".to_vec()).await;
    assert_eq!(outcome, Ok(Swap::Done));
    assert_eq!(bucket.get("key").await, Ok(Some(b"C".to_vec())));
}

#[tokio::test]
async fn a_swap_of_a_key_that_was_deleted_finds_nothing() {
    let bucket = fresh().await;
    bucket.set("key", b"A".to_vec()).await.unwrap();
    let seen = bucket.read_for_swap("key").await.unwrap();
    bucket.delete("key").await.unwrap();
    let outcome = bucket
        .swap("key", seen.revision, b"B".to_vec())
        .await
        .unwrap();
    let Swap::Conflict(Versioned {
        value: None,
        revision,
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        bucket.swap("key", revision, b"B".to_vec()).await,
        Ok(Swap::Done)
    );
}

#[tokio::test]
async fn only_numbers_are_incremented_and_only_so_far() {
    let bucket = fresh().await;
    assert_eq!(bucket.increment("number", -7).await, Ok(-7));
    bucket.set("number", b"41".to_vec()).await.unwrap();
    assert_eq!(bucket.increment("number", 1).await, Ok(42));
    for text in ["", "x", "1.0", " 1", "9223372036854775808"] {
        bucket.set("text", text.into()).await.unwrap();
        let refused = bucket.increment("text", 1).await;
        assert_eq!(refused, Err(KeyValueError::NotANumber), "{text:?}");
        assert_eq!(bucket.get("text").await, Ok(Some(text.into())));
    }
    bucket.set("text", vec![0xff]).await.unwrap();
    assert_eq!(
        bucket.increment("text", 1).await,
        Err(KeyValueError::NotANumber)
    );
    for (end, step) in [(i64::MAX, 1), (i64::MIN, -1)] {
        assert_eq!(bucket.increment(&end.to_string(), end).await, Ok(end));
        let refused = bucket.increment(&end.to_string(), step).await;
        assert_eq!(refused, Err(KeyValueError::Overflow));
    }
}

#[tokio::test]
async fn limits_hold_for_every_operation() {
    let bucket = fresh().await;
    let long = "x".repeat(MAX_KEY_BYTES + 1);
    let too_long = KeyValueError::KeyTooLong { length: long.len() };
    let too_large = KeyValueError::ValueTooLarge {
        length: MAX_VALUE_BYTES + 1,
    };
    let large = vec![0; MAX_VALUE_BYTES + 1];
    let zero = Revision(0);
    assert_eq!(bucket.get("").await, Err(KeyValueError::KeyEmpty));
    assert_eq!(bucket.get(&long).await, Err(too_long.clone()));
    assert_eq!(bucket.exists(&long).await, Err(too_long.clone()));
    assert_eq!(bucket.read_for_swap(&long).await, Err(too_long.clone()));
    assert_eq!(bucket.set(&long, vec![]).await, Err(too_long.clone()));
    assert_eq!(bucket.delete(&long).await, Err(too_long.clone()));
    assert_eq!(bucket.increment(&long, 1).await, Err(too_long.clone()));
    assert_eq!(
        bucket.swap(&long, zero, vec![]).await,
        Err(too_long.clone())
    );
    assert_eq!(
        bucket.get_many(vec![long.clone()]).await,
        Err(too_long.clone())
    );
    assert_eq!(
        bucket.delete_many(vec![long.clone()]).await,
        Err(too_long.clone())
    );
    let pairs = vec![("fine".to_owned(), vec![]), (long, vec![])];
    assert_eq!(bucket.set_many(pairs).await, Err(too_long));
    assert_eq!(
        bucket.set("key", large.clone()).await,
        Err(too_large.clone())
    );
    assert_eq!(
        bucket.swap("key", zero, large.clone()).await,
        Err(too_large.clone())
    );
    let pairs = vec![("fine".to_owned(), vec![]), ("key".to_owned(), large)];
    assert_eq!(bucket.set_many(pairs).await, Err(too_large));
    assert_eq!(bucket.list_keys(None).await.unwrap().keys, [""; 0]);

    let keys = vec!["key".to_owned(); MAX_BATCH_ENTRIES + 1];
    let pairs = keys.iter().map(|key| (key.clone(), vec![])).collect();
    assert_eq!(
        bucket.set_many(pairs).await,
        Err(KeyValueError::BatchTooLarge)
    );
    assert_eq!(
        bucket.get_many(keys.clone()).await,
        Err(KeyValueError::BatchTooLarge)
    );
    assert_eq!(
        bucket.delete_many(keys).await,
        Err(KeyValueError::BatchTooLarge)
    );

    let longest = "x".repeat(MAX_KEY_BYTES);
    bucket
        .set(&longest, vec![1; MAX_VALUE_BYTES])
        .await
        .unwrap();
    let read = bucket.get(&longest).await.unwrap().unwrap();
    assert_eq!(read, vec![1; MAX_VALUE_BYTES]);
    let answer_too_large = bucket.get_many(vec![longest; 17]).await;
    assert_eq!(answer_too_large, Err(KeyValueError::BatchTooLarge));
}

#[tokio::test]
async fn a_walk_lists_each_key_once_while_others_write() {
    let bucket = fresh().await;
    let keys: Vec<String> = (0..2 * MAX_PAGE_KEYS + 500)
        .map(|n| format!("{n:06}"))
        .collect();
    for part in keys.chunks(MAX_BATCH_ENTRIES) {
        let pairs = part.iter().map(|key| (key.clone(), vec![])).collect();
        bucket.set_many(pairs).await.unwrap();
    }
    let (mut listed, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = bucket.list_keys(cursor).await.unwrap();
        assert!(page.keys.len() <= MAX_PAGE_KEYS);
        listed.extend(page.keys);
        pages += 1;
        cursor = page.cursor;
        let Some(last) = &cursor else { break };
        // The very key that the walk stands on goes, and others come before it.
        bucket.delete(last).await.unwrap();
        bucket.set(&format!("0 {pages}"), vec![]).await.unwrap();
    }
    assert_eq!(pages, 3);
    assert_eq!(listed, keys);
}

#[tokio::test]
async fn a_page_that_is_just_full_is_the_last() {
    let bucket = fresh().await;
    let empty = KeyPage {
        keys: vec![],
        cursor: None,
    };
    assert_eq!(bucket.list_keys(None).await, Ok(empty.clone()));
    let pairs = (0..MAX_PAGE_KEYS)
        .map(|n| (format!("{n}"), vec![]))
        .collect();
    bucket.set_many(pairs).await.unwrap();
    let page = bucket.list_keys(None).await.unwrap();
    assert_eq!((page.keys.len(), page.cursor), (MAX_PAGE_KEYS, None));
    assert_eq!(
        bucket.list_keys(Some("no such key".into())).await,
        Ok(empty)
    );
}

#[tokio::test]
async fn buckets_are_apart_and_shared_by_name() {
    let store = EmbeddedStore::in_memory();
    for (name, neighbour) in [("a", "a.b"), ("a-b", "a"), ("b", "B")] {
        let bucket = store.open(name).await.unwrap();
        bucket.set("key", name.into()).await.unwrap();
        let same = store.open(name).await.unwrap();
        assert_eq!(same.get("key").await, Ok(Some(name.into())));
        let other = store.open(neighbour).await.unwrap();
        assert_ne!(other.get("key").await, Ok(Some(name.into())));
        assert_eq!(bucket.list_keys(None).await.unwrap().keys, ["key"]);
    }
    let refused = store.open("no such/name").await.err();
    assert!(matches!(
        refused,
        Some(KeyValueError::InvalidBucketName { .. })
    ));
}

#[tokio::test]
async fn batches_answer_in_the_order_of_their_keys() {
    let bucket = fresh().await;
    let pairs = [("a", "1"), ("b", "2"), ("a", "3")];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.into()));
    bucket.set_many(pairs.to_vec()).await.unwrap();
    let keys = ["b", "missing", "a", "b"].map(str::to_owned).to_vec();
    let (one, two) = (Some(b"3".to_vec()), Some(b"2".to_vec()));
    let values = bucket.get_many(keys.clone()).await;
    assert_eq!(values, Ok(vec![two.clone(), None, one, two]));
    bucket.delete_many(keys).await.unwrap();
    assert_eq!(bucket.list_keys(None).await.unwrap().keys, [""; 0]);
    assert_eq!(bucket.get_many(vec![]).await, Ok(vec![]));
}
