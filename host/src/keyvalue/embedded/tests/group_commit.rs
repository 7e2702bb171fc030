use super::super::super::{Revision, Swap};
use super::*;

#[tokio::test]
async fn writes_that_gather_during_a_commit_share_the_next_one() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    let syncs = disk.syncs();
    disk.hold();
    let mut first = bucket.set("first", vec![]);
    enqueue(&mut first);
    disk.sync_waits().await;
    let keys: Vec<String> = (0..500).map(|number| format!("key {number}")).collect();
    let mut rest: Vec<_> = keys.iter().map(|key| bucket.set(key, vec![1])).collect();
    rest.iter_mut().for_each(enqueue);
    disk.release();

    first.await.unwrap();
    for write in rest {
        write.await.unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.operations, stats.commits), (501, 2));
    assert_eq!(disk.syncs() - syncs, 2, "one sync for each commit");
    assert!(bucket.exists("key 499").await.unwrap());
}

#[tokio::test]
async fn a_read_neither_waits_for_a_commit_nor_sees_it_early() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    bucket.set("key", b"old".to_vec()).await.unwrap();
    disk.hold();
    let mut write = bucket.set("key", b"new".to_vec());
    enqueue(&mut write);
    disk.sync_waits().await;
    let key = || vec!["key".to_owned()];

    assert_eq!(bucket.get("key").await, Ok(Some(b"old".to_vec())));
    assert_eq!(
        bucket.get_many(key()).await,
        Ok(vec![Some(b"old".to_vec())])
    );
    assert_eq!(bucket.list_keys(None).await.unwrap().keys, key());
    enqueue(&mut write);

    disk.release();
    write.await.unwrap();
    assert_eq!(bucket.get("key").await, Ok(Some(b"new".to_vec())));
}

#[tokio::test]
async fn an_operation_that_fails_leaves_its_neighbours_alone() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    bucket.set("text", b"text".to_vec()).await.unwrap();
    bucket
        .set("most", i64::MAX.to_string().into())
        .await
        .unwrap();
    let commits = store.stats().commits;
    disk.hold();
    let mut plug = bucket.set("plug", vec![]);
    enqueue(&mut plug);
    disk.sync_waits().await;
    let mut before = bucket.increment("number", 1);
    let mut text = bucket.increment("text", 1);
    let mut most = bucket.increment("most", 1);
    let mut stale = bucket.swap("text", Revision(0), b"mine".to_vec());
    let mut after = bucket.increment("number", 1);
    for call in [&mut before, &mut text, &mut most] {
        enqueue(call);
    }
    enqueue(&mut stale);
    enqueue(&mut after);
    disk.release();

    plug.await.unwrap();
    assert_eq!(before.await, Ok(1));
    assert_eq!(text.await, Err(KeyValueError::NotANumber));
    assert_eq!(most.await, Err(KeyValueError::Overflow));
    assert!(matches!(stale.await, Ok(Swap::Conflict(_))));
    assert_eq!(after.await, Ok(2));
    assert_eq!(bucket.get("text").await, Ok(Some(b"text".to_vec())));
    assert_eq!(store.stats().commits, commits + 2);
}

#[tokio::test]
async fn operations_take_effect_in_the_order_of_arrival() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    disk.hold();
    let mut plug = bucket.set("plug", vec![]);
    enqueue(&mut plug);
    disk.sync_waits().await;
    let mut set = bucket.set("key", b"5".to_vec());
    enqueue(&mut set);
    let mut sum = bucket.increment("key", 2);
    enqueue(&mut sum);
    let mut deletion = bucket.delete("key");
    enqueue(&mut deletion);
    let mut anew = bucket.increment("key", 2);
    enqueue(&mut anew);
    disk.release();

    assert_eq!((sum.await, anew.await), (Ok(7), Ok(2)));
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_happens_as_a_whole() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    disk.hold();
    let pairs = ["a", "b"].map(|key| (key.to_owned(), key.into()));
    let mut write = bucket.set_many(pairs.to_vec());
    enqueue(&mut write);
    drop(write);
    disk.release();

    bucket.set("c", vec![]).await.unwrap();
    assert_eq!(bucket.list_keys(None).await.unwrap().keys, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_changes_nothing_costs_no_commit() {
    let disk = Disk::default();
    let store = start(&disk);
    let bucket = bucket(&store).await;
    bucket.set("key", vec![]).await.unwrap();
    let syncs = disk.syncs();

    bucket.delete("missing").await.unwrap();
    let swap = bucket.swap("key", Revision(0), vec![1]).await.unwrap();
    assert!(matches!(swap, Swap::Conflict(_)));
    assert_eq!(disk.syncs(), syncs);
    assert_eq!((store.stats().operations, store.stats().commits), (3, 1));
}
