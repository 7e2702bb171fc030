//! A guest's response body on its way out of the sandbox.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use super::active::{Fate, Ticket};
use crate::body::{Body, BodyError};

/// The guest's body as the host passes it on: broken, and not ended, if the instance died over it.
pub(super) fn body(inner: WasiBody, fate: Fate, ticket: Option<Arc<Ticket>>) -> Body {
    Body::stream(GuestBody {
        inner,
        fate,
        _ticket: ticket,
    })
}

struct GuestBody {
    inner: WasiBody,
    fate: Fate,
    /// Keeps the request in the instance's list until the body is over.
    _ticket: Option<Arc<Ticket>>,
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(frame) => Poll::Ready(Some(frame.map_err(|error| broken(&error)))),
            // when the store is dropped, what the guest had not finished looks ended
            None => Poll::Ready(self.fate.sealed().map(|death| Err(BodyError::Died(death)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn broken(error: &Error) -> BodyError {
    BodyError::Guest(error.to_string())
}
