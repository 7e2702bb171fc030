//! Who asks, when one service calls another.

use std::sync::{Arc, Weak};

use http::HeaderValue;
use tokio::time::Instant;

use super::{Effects, RequestId};
use crate::service::lane::Lane;
use crate::service::lease::Lease;

/// What a call inherits from the request that its caller is working on. In an instance that works
/// on several, nothing may tell surely which one makes the call; then it is part of all of them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Names the request, across all services.
    pub id: RequestId,
    /// When the caller must be over.
    pub deadline: Instant,
    /// How many calls led to the caller; 0 for one that works on a request from outside.
    pub depth: u8,
    /// The share of all requests that the one from outside belongs to.
    pub lane: Lane,
    /// Of the caller's try.
    pub effects: Vec<Arc<Effects>>,
    /// The place that the caller's request holds and that waits for the call, if it is known.
    pub place: Weak<Lease>,
    /// `traceparent` and `tracestate` (W3C Trace Context), if the request came with them.
    pub trace: [Option<HeaderValue>; 2],
}
