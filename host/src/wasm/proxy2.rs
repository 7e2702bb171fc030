//! Running a guest that does one thing at a time, in this task: it answers a request as a
//! `wasi:http/incoming-handler@0.2`, or runs a function for another service.

use std::sync::Arc;

use http::Request;
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::active::{Active, Task, Ticket};
use super::guest::Guest;
use super::instance::Served;
use super::response;
use super::state::State;
use super::typed::invoke::Invocation;
use super::typed::provider;
use crate::body::{Body, BodyError};
use crate::dispatch::Attempt;
use crate::service::mailbox::Inbox;

/// Runs attempts until the inbox ends, or `once`.
///
/// # Errors
///
/// What ended the guest.
pub(super) async fn serve(
    store: &mut Store<State>,
    guest: &Guest,
    inbox: &mut Inbox,
    active: &Active,
    once: bool,
) -> wasmtime::Result<Served> {
    while let Some(attempt) = inbox.recv().await {
        if attempt.work.is_unwanted() {
            // whoever asked has gone; nothing of it was begun
            continue;
        }
        let lease = once.then(|| Arc::clone(&attempt.particulars.lease));
        handle(store, guest, attempt, active, once).await?;
        if let Some(lease) = lease {
            return Ok(Served::One(lease));
        }
    }
    Ok(Served::All)
}

async fn handle(
    store: &mut Store<State>,
    guest: &Guest,
    attempt: Attempt,
    active: &Active,
    once: bool,
) -> wasmtime::Result<()> {
    let (ticket, task) = active.enter(attempt);
    // until the guest is done with it, whatever ends this function
    ticket.keep(true);
    match task {
        Task::Http(head, body) => {
            let request = Request::from_parts(*head, body);
            answer(store, guest, request, ticket, once).await
        }
        Task::Call(invocation) => run(store, guest, &invocation, &ticket).await,
        Task::Nothing => {
            ticket.keep(false);
            Ok(())
        }
    }
}

async fn answer(
    store: &mut Store<State>,
    guest: &Guest,
    request: Request<Body>,
    ticket: Ticket,
    once: bool,
) -> wasmtime::Result<()> {
    let Some(Proxy::P2(handler)) = &guest.handler else {
        ticket.answerer().fail(NO_HANDLER);
        ticket.keep(false);
        return Ok(());
    };
    let (answerer, fate) = (ticket.answerer().clone(), ticket.fate());
    let ticket = Arc::new(ticket);
    // a store that is for one request stays until the response's body is over
    let held = once.then(|| Arc::downgrade(&ticket));
    let mut view = store.data_mut().http();
    let request = view.new_incoming_request(Scheme::Http, request)?;
    let out = view.new_response_outparam_from_callback(move |result| match result {
        Ok(response) => {
            let held = held.and_then(|ticket| ticket.upgrade());
            answerer.respond(response.map(|body| response::body(body, fate, held)));
        }
        Err(code) => answerer.fail(format!("it set the error {code:?} instead of a response")),
    })?;
    handler
        .wasi_http_incoming_handler()
        .call_handle(&mut *store, request, out)
        .await?;
    ticket
        .answerer()
        .fail("it returned without setting a response");
    ticket.keep(false);
    Ok(())
}

async fn run(
    store: &mut Store<State>,
    guest: &Guest,
    invocation: &Invocation,
    ticket: &Ticket,
) -> wasmtime::Result<()> {
    match guest.target(invocation) {
        Ok(target) => {
            let call = provider::call(&mut *store, &guest.instance, target, &invocation.params);
            ticket.answerer().give(call.await?);
        }
        Err(missing) => ticket.answerer().fail(missing),
    }
    ticket.keep(false);
    Ok(())
}

/// What who sends a request hears of a guest that only runs functions.
pub(super) const NO_HANDLER: &str = "it exports no HTTP handler, only functions for other services";

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        to_guest(&error)
    }
}

/// A request body's failure, as the guest sees it.
pub(super) fn to_guest(error: &BodyError) -> Error {
    match error {
        BodyError::TooLarge { limit } => Error::HttpRequestBodySize(Some(*limit)),
        BodyError::Deadline => Error::ConnectionReadTimeout,
        BodyError::Client(_) | BodyError::Guest(_) | BodyError::Died(_) => {
            Error::ConnectionTerminated
        }
        BodyError::Superseded => Error::InternalError(Some(error.to_string())),
    }
}
