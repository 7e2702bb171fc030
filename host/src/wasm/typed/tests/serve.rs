//! What an instance of the tests does: the loops of the server's, without HTTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::component::{Instance, Val};
use wasmtime::{Result, Store};

use super::super::provider::{self, Target};
use super::peer::Data;

/// One call.
pub(super) struct Letter {
    pub(super) target: Target,
    pub(super) params: Vec<Val>,
    pub(super) reply: oneshot::Sender<Result<Vec<Val>>>,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) letters: VecDeque<Letter>,
    pub(super) reader: Option<Waker>,
}

/// How a guest came to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ending {
    /// By a trap of its own.
    pub(super) trap: bool,
    pub(super) message: String,
}

async fn next(inbox: &Mutex<Inbox>) -> Letter {
    std::future::poll_fn(|cx| {
        let mut inbox = inbox.lock();
        if let Some(letter) = inbox.letters.pop_front() {
            return Poll::Ready(letter);
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

pub(super) async fn run(
    mut store: Store<Data>,
    instance: Instance,
    inbox: Arc<Mutex<Inbox>>,
    ended: Arc<Mutex<Option<Ending>>>,
) -> Result<()> {
    let result = if store.concurrent_resource_table().is_some() {
        serve_many(&mut store, &instance, &inbox).await
    } else {
        serve_one(&mut store, &instance, &inbox).await
    };
    if let Err(error) = &result {
        let trap = error.downcast_ref::<wasmtime::Trap>();
        *ended.lock() = Some(Ending {
            trap: trap.is_some(),
            message: trap.map_or_else(|| error.root_cause().to_string(), ToString::to_string),
        });
    }
    result
}

async fn serve_one(
    store: &mut Store<Data>,
    instance: &Instance,
    inbox: &Mutex<Inbox>,
) -> Result<()> {
    loop {
        let letter = next(inbox).await;
        let values = provider::call(&mut *store, instance, letter.target, &letter.params).await?;
        let _ = letter.reply.send(Ok(values));
    }
}

async fn serve_many(
    store: &mut Store<Data>,
    instance: &Instance,
    inbox: &Mutex<Inbox>,
) -> Result<()> {
    store
        .run_concurrent(async |accessor| -> Result<()> {
            let mut calls = FuturesUnordered::new();
            loop {
                tokio::select! {
                    biased;
                    Some(result) = calls.next(), if !calls.is_empty() => {
                        let result: Result<()> = result;
                        result?;
                    }
                    letter = next(inbox) => calls.push(async move {
                        let Letter { target, params, reply } = letter;
                        let values = provider::call_concurrent(accessor, instance, target, &params).await?;
                        let _ = reply.send(Ok(values));
                        Ok(())
                    }),
                }
            }
        })
        .await?
}
