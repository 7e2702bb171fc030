use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::super::{Bucket, KeyValueError, Store};
use super::EmbeddedStore;
use disk::Disk;

mod disk;
mod durability;
mod files;
mod group_commit;
mod model;
mod semantics;

fn start(disk: &Disk) -> EmbeddedStore {
    let disk = disk.clone();
    let open = move || super::file::open_backend(disk.clone(), "disk".as_ref());
    EmbeddedStore::start(Box::new(open), "disk".as_ref()).unwrap()
}

async fn bucket(store: &EmbeddedStore) -> Arc<dyn Bucket> {
    store.open("bucket").await.unwrap()
}

/// Waits until a store that was dropped, not closed, has let go of its file.
async fn drop_and_wait(store: EmbeddedStore) {
    let mut ended = store.shared.ended.clone();
    drop(store);
    ended.wait_for(|ended| *ended).await.unwrap();
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyValueError>> + Send + 'a>>;

/// Gets a write as far as the queue, and no further.
fn enqueue<T>(call: &mut Call<'_, T>) {
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "answered at once");
}
