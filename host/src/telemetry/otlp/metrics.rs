//! Sends what the host counts to the collector, now and then.
//!
//! The host counts in its own way, and cheaply; so the message is made of what it has counted, not
//! of instruments that would count once more.

mod message;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use opentelemetry_http::HttpClient;
use opentelemetry_sdk::Resource;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at};

use super::courier::Courier;
use super::env::Target;
use crate::config::ServiceName;
use crate::telemetry::shards::Buckets;

/// Who knows what the host has counted.
pub trait Snapshot: Send + Sync + 'static {
    /// What was counted of each service so far.
    fn services(&self) -> Vec<ServiceTotals>;
}

/// What was counted of one service so far, and what goes on in it now.
#[derive(Clone, Debug)]
pub struct ServiceTotals {
    /// Its name.
    pub service: ServiceName,
    /// Requests answered, by the first digit of their status, from 1 to 5.
    pub answers: [u64; 5],
    /// From the arrival of a request to the head of its response.
    pub durations: Buckets,
    /// Requests in instances.
    pub in_flight: u64,
    /// Jobs that wait for an instance.
    pub queued: u64,
    /// Instances that can take jobs.
    pub instances: u64,
    /// Jobs refused for overload or by the breaker.
    pub sheds: u64,
    /// Interrupted requests that were run again.
    pub replays: u64,
    /// Instances that ended, by reason.
    pub exits: Vec<(&'static str, u64)>,
}

/// Sends snapshots until it is told to stop, and then a last one.
pub(super) struct Reporter {
    pub(super) courier: Courier,
    pub(super) target: Target,
    pub(super) resource: Resource,
    pub(super) snapshot: Arc<dyn Snapshot>,
    pub(super) every: Duration,
    pub(super) stop: watch::Receiver<bool>,
}

impl Reporter {
    pub(super) async fn run(mut self) {
        let started = SystemTime::now();
        let headers = headers(&self.target.headers);
        let mut ticks = interval_at(tokio::time::Instant::now() + self.every, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let over = tokio::select! {
                _ = ticks.tick() => false,
                _ = self.stop.wait_for(|stop| *stop) => true,
            };
            let now = (started, SystemTime::now());
            let message = message::of(&self.resource, &self.snapshot.services(), now);
            let mut request = Request::new(Bytes::from(message.encode_to_vec()));
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = self.target.url.clone();
            *request.headers_mut() = headers.clone();
            // what becomes of it, the courier tells; the next one says all of it again
            drop(self.courier.send_bytes(request).await);
            if over {
                return;
            }
        }
    }
}

fn headers(fields: &HashMap<String, String>) -> HeaderMap {
    let fields = fields.iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    let mut headers: HeaderMap = fields.collect();
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    headers.insert(CONTENT_TYPE, protobuf);
    headers
}
