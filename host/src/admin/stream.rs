//! Streams of server-sent events (HTML standard, 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use serde::Serialize;

use super::Streams;
use super::problem::Problem;
use crate::telemetry::events::Event;

/// How often a stream on which nothing happens says that it is open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Streams {
    /// Sends messages until the client goes away, if there is a place.
    pub(super) fn send(
        &self,
        messages: impl Stream<Item = Message> + Send + 'static,
    ) -> Result<Response, Problem> {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            let detail = "too many streams are open; close one";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        let messages = messages.map(move |message| {
            let _held = &place;
            Ok::<_, Infallible>(message)
        });
        Ok(Sse::new(messages)
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response())
    }
}

/// A message with a name, whose data is JSON.
pub(super) fn message(name: &str, data: &impl Serialize) -> Message {
    let message = Message::default().event(name);
    // what is sent here can be written as JSON; what couldn't be would be an empty message
    message.json_data(data).unwrap_or_default()
}

/// The message of an event.
pub(super) fn event(event: &Event) -> Message {
    let message = message("event", event);
    match event.id() {
        Some(id) => message.id(id.to_string()),
        None => message,
    }
}

/// The last event that a client has seen which comes again.
pub(super) fn last_seen(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id")?.to_str().ok()
}
