//! Running a guest that does several things at once, in this task: it answers requests as a
//! `wasi:http/handler@0.3`, and runs functions for other services.
//!
//! All of them are driven by one `run_concurrent`.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use wasmtime::Store;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::active::{Active, Task, Ticket};
use super::guest::Guest;
use super::instance::Served;
use super::proxy2::NO_HANDLER;
use super::response;
use super::state::State;
use super::typed::provider;
use crate::dispatch::Attempt;
use crate::service::mailbox::Inbox;

/// Runs attempts until the inbox ends and the last of them is over, or `once`.
///
/// # Errors
///
/// What ended the guest.
pub(super) async fn serve(
    store: &mut Store<State>,
    guest: &Guest,
    inbox: &mut Inbox,
    active: &Active,
    concurrency: NonZeroUsize,
    once: bool,
) -> wasmtime::Result<Served> {
    let work = async |accessor: &Accessor<State>| -> wasmtime::Result<Served> {
        let mut place = None;
        let mut calls = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(result) = calls.next(), if !calls.is_empty() => result?,
                attempt = inbox.recv(), if calls.len() < concurrency.get() => match attempt {
                    Some(attempt) if attempt.work.is_unwanted() => {}
                    Some(attempt) => {
                        place = once.then(|| Arc::clone(&attempt.particulars.lease));
                        calls.push(handle(accessor, guest, attempt, active));
                        if once {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        while let Some(result) = calls.next().await {
            result?;
        }
        // what the guest does after its responses are over is given until their deadline
        std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        Ok(place.map_or(Served::All, Served::One))
    };
    store.run_concurrent(work).await?
}

async fn handle(
    accessor: &Accessor<State>,
    guest: &Guest,
    attempt: Attempt,
    active: &Active,
) -> wasmtime::Result<()> {
    let (ticket, task) = active.enter(attempt);
    // entered until the response's body is over, for the deadline covers that
    let ticket = Arc::new(ticket);
    ticket.keep(true);
    match (task, &guest.handler) {
        (Task::Http(head, body), Some(Proxy::P3(service))) => {
            let request = http::Request::from_parts(*head, body);
            match respond(accessor, service, request, &ticket).await? {
                Ok(response) => ticket.answerer().respond(response),
                Err(refusal) => ticket.answerer().fail(refusal),
            }
        }
        (Task::Http(..), _) => ticket.answerer().fail(NO_HANDLER),
        (Task::Call(invocation), _) => match guest.target(&invocation) {
            Ok(target) => {
                let params = &invocation.params;
                let call = provider::call_concurrent(accessor, &guest.instance, target, params);
                ticket.answerer().give(call.await?);
            }
            Err(missing) => ticket.answerer().fail(missing),
        },
        (Task::Nothing, _) => {}
    }
    ticket.keep(false);
    Ok(())
}

type Answer = Result<http::Response<crate::body::Body>, String>;

async fn respond(
    accessor: &Accessor<State>,
    guest: &Service,
    request: http::Request<crate::body::Body>,
    ticket: &Arc<Ticket>,
) -> wasmtime::Result<Answer> {
    let (request, sent) = accessor.with(|mut store| {
        let view = store.data_mut().http();
        let (request, sent) = Request::from_http(view.hooks, request);
        // boxed, for its opaque type would borrow the store
        let sent: BoxFuture<'static, Result<(), Error>> = Box::pin(sent);
        view.table.push(request).map(|request| (request, sent))
    })?;
    let response = match guest
        .wasi_http_handler()
        .call_handle(accessor, request)
        .await?
    {
        Ok(response) => response,
        Err(code) => {
            return Ok(Err(format!(
                "it answered with the error {code:?} instead of a response"
            )));
        }
    };
    let response = accessor.with(|mut store| {
        let response = store.data_mut().http().table.delete(response)?;
        response.into_http(&mut store, sent)
    })?;
    Ok(Ok(response.map(|inner| {
        response::body(inner, ticket.fate(), Some(Arc::clone(ticket)))
    })))
}
