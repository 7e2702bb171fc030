//! Running a `wasi:http/handler@0.3` guest: several requests at once, in this task.
//!
//! All of them are driven by one `run_concurrent`. A guest that is busy, or in a host call that
//! needs the whole store, keeps that loop from polling anything else (wasmtime issues 11869 and
//! 11870); so deadlines are watched outside of it, too.

use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep_until;
use wasmtime::Store;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use super::active::{Active, Ticket};
use super::instance::DeadlinePassed;
use super::proxy2::{from_guest, to_guest};
use super::state::State;
use crate::body::BodyError;
use crate::dispatch::Attempt;

/// Runs attempts until the mailbox closes and the last of them is over.
///
/// # Errors
///
/// What ended the guest.
pub(super) async fn serve(
    store: &mut Store<State>,
    guest: &Service,
    mailbox: &mut mpsc::UnboundedReceiver<Attempt>,
    active: &Active,
    concurrency: NonZeroUsize,
) -> wasmtime::Result<()> {
    let entered = Notify::new();
    let work = store.run_concurrent(async |accessor| -> wasmtime::Result<()> {
        let mut calls = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(result) = calls.next(), if !calls.is_empty() => result?,
                attempt = mailbox.recv(), if calls.len() < concurrency.get() => match attempt {
                    Some(attempt) if attempt.reply.is_closed() => {}
                    Some(attempt) => {
                        calls.push(handle(accessor, guest, attempt, active));
                        entered.notify_one();
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
        Ok(())
    });
    let mut work = pin!(work);
    loop {
        let deadline = active.first_deadline();
        tokio::select! {
            biased;
            result = &mut work => return result.flatten(),
            () = sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                // the first may have ended meanwhile, and the next be later
                if active.first_deadline().is_some_and(|first| first <= tokio::time::Instant::now()) {
                    return Err(DeadlinePassed.into());
                }
            }
            () = entered.notified() => {}
        }
    }
}

async fn handle(
    accessor: &Accessor<State>,
    guest: &Service,
    attempt: Attempt,
    active: &Active,
) -> wasmtime::Result<()> {
    let Attempt {
        id: _,
        line,
        request,
        deadline,
        tries,
        effects,
        reply,
        lease,
    } = attempt;
    // entered until the response's body is over, for the deadline covers that
    let ticket = Arc::new(active.enter(line, deadline, tries, effects, reply));
    let answerer = ticket.answerer();
    let result = respond(accessor, guest, request, &ticket).await;
    match result {
        Ok(Ok(response)) => answerer.respond(response),
        Ok(Err(refusal)) => answerer.fail(refusal),
        Err(error) => {
            ticket.keep();
            return Err(error);
        }
    }
    drop(lease);
    Ok(())
}

type Answer = Result<http::Response<crate::body::Body>, String>;

async fn respond(
    accessor: &Accessor<State>,
    guest: &Service,
    request: http::Request<crate::body::Body>,
    ticket: &Arc<Ticket>,
) -> wasmtime::Result<Answer> {
    let request = request.map(|body| body.map_err(to_guest));
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
        Entered {
            inner,
            _ticket: Arc::clone(ticket),
        }
        .boxed_unsync()
    })))
}

/// A response body that keeps its request in the instance's list until it is over.
struct Entered {
    inner: WasiBody,
    _ticket: Arc<Ticket>,
}

impl http_body::Body for Entered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.inner)
            .poll_frame(cx)
            .map_err(|error| from_guest(&error))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
