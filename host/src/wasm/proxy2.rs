//! Running a `wasi:http/incoming-handler@0.2` guest: one request at a time, in this task.

use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::active::Active;
use super::instance::DeadlinePassed;
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
    active: &Active,
) -> wasmtime::Result<()> {
    while let Some(attempt) = mailbox.recv().await {
        if attempt.reply.is_closed() {
            // its client has gone; nothing of it was begun
            continue;
        }
        handle(store, guest, attempt, active).await?;
    }
    Ok(())
}

async fn handle(
    store: &mut Store<State>,
    guest: &Proxy,
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
    let ticket = active.enter(line, deadline, tries, effects, reply);
    let answerer = ticket.answerer();
    let request = request.map(|body| body.map_err(to_guest));
    let request = store
        .data_mut()
        .http()
        .new_incoming_request(Scheme::Http, request)?;
    let out = store
        .data_mut()
        .http()
        .new_response_outparam_from_callback(move |result| match result {
            Ok(response) => answerer
                .respond(response.map(|body| body.map_err(|e| from_guest(&e)).boxed_unsync())),
            Err(code) => answerer.fail(refusal(&code)),
        })?;
    // a guest that is waiting is ended by this timer; one that is running, by the epoch
    let call = guest
        .wasi_http_incoming_handler()
        .call_handle(&mut *store, request, out);
    let result = match timeout_at(deadline, call).await {
        Ok(result) => result,
        Err(_) => Err(DeadlinePassed.into()),
    };
    if result.is_err() {
        // stays entered, so that the exit can name it and tell its dispatcher
        ticket.keep();
        return result;
    }
    ticket
        .answerer()
        .fail("it returned without setting a response".into());
    drop(ticket);
    drop(lease);
    Ok(())
}

/// A request body's failure, as the guest sees it.
pub(super) fn to_guest(error: BodyError) -> Error {
    match error {
        BodyError::TooLarge { limit } => Error::HttpRequestBodySize(Some(limit)),
        BodyError::Deadline => Error::ConnectionReadTimeout,
        BodyError::Client(_) | BodyError::Guest(_) => Error::ConnectionTerminated,
        BodyError::Superseded => Error::InternalError(Some(error.to_string())),
    }
}

/// A response body's failure, as the client's side sees it.
pub(super) fn from_guest(error: &Error) -> BodyError {
    BodyError::Guest(error.to_string())
}

fn refusal(code: &ErrorCode) -> String {
    format!("it set the error {code:?} instead of a response")
}
