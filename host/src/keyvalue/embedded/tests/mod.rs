use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

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

/// Polls a future once: gets a write as far as the queue, and no further.
fn enqueue<F: Future + Unpin>(call: &mut F) {
    // The runtime's budget for one task would stop the later ones of many short of the queue.
    let call = pin!(tokio::task::unconstrained(call));
    let polled = call.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "answered at once");
}
