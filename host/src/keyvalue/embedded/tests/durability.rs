use super::*;

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deeper/data");
    let store = EmbeddedStore::open(&data).unwrap();
    let first = bucket(&store).await;
    first.set("key", b"value".to_vec()).await.unwrap();
    let revision = first.read_for_swap("key").await.unwrap().revision;
    drop(first);
    drop_and_wait(store).await;

    let store = EmbeddedStore::open(&data).unwrap();
    let second = bucket(&store).await;
    assert_eq!(second.get("key").await, Ok(Some(b"value".to_vec())));
    second.set("key", b"value".to_vec()).await.unwrap();
    let later = second.read_for_swap("key").await.unwrap().revision;
    assert!(later.0 > revision.0, "revisions go on counting");
    store.close().await;

    let third = EmbeddedStore::open(&data).unwrap();
    assert!(bucket(&third).await.exists("key").await.unwrap());
}

#[tokio::test]
async fn closing_finishes_what_was_accepted_and_refuses_the_rest() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    disk.hold();
    let mut writes: Vec<_> = (0..50).map(|_| bucket.increment("number", 1)).collect();
    writes.iter_mut().for_each(enqueue);
    let mut closing = store.close();
    enqueue(&mut closing);
    let late = bucket.set("late", vec![]).await;
    assert_eq!(late, Err(KeyValueError::Closed));
    disk.release();
    closing.await;

    for (write, sum) in writes.into_iter().zip(1..) {
        assert_eq!(write.await, Ok(sum));
    }
    assert_eq!(bucket.get("number").await, Err(KeyValueError::Closed));
    assert_eq!(bucket.list_keys(None).await, Err(KeyValueError::Closed));
    store.close().await;
    let again = start(&disk);
    let number = super::bucket(&again).await.get("number").await;
    assert_eq!(number, Ok(Some(b"50".to_vec())));
}

#[tokio::test]
async fn a_commit_that_fails_fails_its_whole_batch_and_nothing_of_it_is_seen() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    bucket.set("key", b"old".to_vec()).await.unwrap();
    disk.hold();
    let mut plug = bucket.set("plug", vec![]);
    enqueue(&mut plug);
    disk.sync_waits().await;
    let mut batch = [
        bucket.set("key", b"new".to_vec()),
        bucket.set("other", b"new".to_vec()),
    ];
    batch.iter_mut().for_each(enqueue);
    disk.fail_syncs(usize::MAX);
    disk.release();

    assert!(matches!(
        plug.await,
        Err(KeyValueError::OutcomeUnknown { .. })
    ));
    for write in batch {
        assert!(matches!(
            write.await,
            Err(KeyValueError::Unavailable { .. })
        ));
    }
    assert!(matches!(
        bucket.get("key").await,
        Err(KeyValueError::Unavailable { .. })
    ));

    disk.fail_syncs(0);
    while bucket.set("healed", vec![]).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bucket.get("key").await, Ok(Some(b"old".to_vec())));
    assert_eq!(bucket.get("other").await, Ok(None));
}

#[tokio::test]
async fn one_failed_commit_is_got_over_at_once() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    disk.fail_syncs(1);
    let failed = bucket.set("key", vec![]).await;
    assert!(
        matches!(failed, Err(KeyValueError::OutcomeUnknown { .. })),
        "{failed:?}"
    );
    bucket.set("next", vec![]).await.unwrap();
    assert!(bucket.exists("next").await.unwrap());
}
