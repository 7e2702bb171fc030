//! Running a `wasi:http/incoming-handler@0.2` guest: one request at a time, in this task.

use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::instance::{DeadlinePassed, Watch};
use super::response;
use super::state::State;
use crate::body::BodyError;
use crate::dispatch::Attempt;

/// Runs attempts until the mailbox closes.
///
/// # Errors
///
/// What ended the guest.
pub(super) async fn serve(
    store: &mut Store<State>,
    guest: &Proxy,
    mailbox: &mut mpsc::UnboundedReceiver<Attempt>,
    watch: &Watch,
) -> wasmtime::Result<()> {
    while let Some(attempt) = mailbox.recv().await {
        if attempt.reply.is_closed() {
            // its client has gone; nothing of it was begun
            continue;
        }
        handle(store, guest, attempt, watch).await?;
    }
    Ok(())
}

async fn handle(
    store: &mut Store<State>,
    guest: &Proxy,
    attempt: Attempt,
    watch: &Watch,
) -> wasmtime::Result<()> {
    let deadline = attempt.deadline;
    let (ticket, request) = watch.active.enter(attempt);
    // until the guest is done with it, whatever ends this function
    ticket.keep(true);
    let (answerer, fate) = (ticket.answerer(), ticket.fate());
    let request = request.map(|body| body.map_err(|error| to_guest(&error)));
    let mut view = store.data_mut().http();
    let request = view.new_incoming_request(Scheme::Http, request)?;
    let out = view.new_response_outparam_from_callback(move |result| match result {
        Ok(response) => answerer.respond(response.map(|body| response::body(body, fate, None))),
        Err(code) => answerer.fail(format!("it set the error {code:?} instead of a response")),
    })?;
    // a guest that is waiting is ended by these; one that is running, by the epoch
    let result = tokio::select! {
        biased;
        result = guest.wasi_http_incoming_handler().call_handle(&mut *store, request, out) => result,
        () = sleep_until(deadline) => Err(DeadlinePassed.into()),
        gone = watch.abandoned() => Err(gone.into()),
    };
    if result.is_ok() {
        ticket
            .answerer()
            .fail("it returned without setting a response".into());
        ticket.keep(false);
    }
    result
}

/// A request body's failure, as the guest sees it.
pub(super) fn to_guest(error: &BodyError) -> Error {
    match error {
        BodyError::TooLarge { limit } => Error::HttpRequestBodySize(Some(*limit)),
        BodyError::Deadline => Error::ConnectionReadTimeout,
        BodyError::Client(_) | BodyError::Guest(_) => Error::ConnectionTerminated,
        BodyError::Superseded => Error::InternalError(Some(error.to_string())),
    }
}
