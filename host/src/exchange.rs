//! One request and its answer, whoever asks: a client through the [`ingress`](crate::ingress), or
//! another service through [`calls`](crate::calls), which may also call an exported function.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, StatusCode, Version};
use tokio::time::Instant;
use tracing::debug;

use crate::body::{Body, empty};
use crate::clock;
use crate::dispatch::{Answer, Caller, DispatchError, Job, Noted, RequestId};
use crate::ingress::respond::Problem;
use crate::service::errand::Errand;
use crate::service::lane::Lane;
use crate::service::{Release, Service};

/// Where a request goes: a service, and the release that was current when that was decided.
#[derive(Clone)]
pub struct Target {
    /// The service.
    pub service: Arc<Service>,
    /// Its release.
    pub release: Arc<Release>,
}

/// A request that has found its target.
pub struct Arrival {
    /// When it came.
    pub at: Instant,
    /// Names it.
    pub id: RequestId,
    /// Its head, as a guest is to see it. It comes a long way, and is large.
    pub head: Box<Parts>,
    /// Its body.
    pub body: Body,
    /// The share of all requests that its client belongs to.
    pub client: Lane,
    /// The service that asks; `None` for a client outside.
    pub caller: Option<Box<Caller>>,
    /// What whoever records it wants to know.
    pub noted: Noted,
}

impl Target {
    /// Has a request answered, and counts how.
    ///
    /// # Errors
    ///
    /// Why the service has no answer, for whoever asked.
    pub async fn answer(&self, arrival: Arrival) -> Result<Answer, Problem> {
        let (at, id) = (arrival.at, arrival.id.clone());
        let result = self.run(arrival).await;
        self.told(result, at, &id, |response| response.status())
    }

    /// Has another service's call answered, and counts it as the request that it would be.
    ///
    /// # Errors
    ///
    /// Why the service has no answer.
    pub async fn call<E: Errand>(&self, errand: &E) -> Result<E::Answer, Problem> {
        let at = clock::now();
        let tried = self.service.tried_in(errand.lane());
        let release = tried.as_ref().unwrap_or(&self.release);
        let result = self.service.dispatch(release, errand).await;
        self.told(result, at, errand.id(), |_| StatusCode::OK)
    }

    /// When what comes `at` that moment must be over: a call has what is left of its caller's time.
    pub fn deadline(&self, at: Instant, caller: Option<&Caller>) -> Instant {
        let own = at + self.release.manifest.limits.timeout;
        caller.map_or(own, |caller| own.min(caller.deadline))
    }

    /// Counts how something ended.
    fn told<T>(
        &self,
        result: Result<T, DispatchError>,
        at: Instant,
        id: &RequestId,
        status: impl FnOnce(&T) -> StatusCode,
    ) -> Result<T, Problem> {
        let service = &self.service;
        let result = result.map_err(|error| {
            debug!(service = %service.name, request = %id, %error, "a request failed");
            Problem::from(&error)
        });
        let status = result
            .as_ref()
            .map_or_else(|problem| problem.status, status);
        service.metrics.answered(status);
        let took = clock::recent().saturating_duration_since(at);
        service.metrics.duration.observe(took);
        result
    }

    async fn run(&self, arrival: Arrival) -> Result<Answer, DispatchError> {
        let Arrival {
            at,
            id,
            head,
            body,
            client,
            caller,
            noted,
        } = arrival;
        let lane = match &caller {
            // calls stay with the releases that the request from outside has met
            Some(_) => client,
            None => self.service.lane(&self.release, client, |key| {
                Lane::by(key, &head, &id, client)
            }),
        };
        let tried = self.service.tried_in(lane);
        let release = tried.as_ref().unwrap_or(&self.release);
        noted.progress.goes_to(|| release.place());
        let limits = &release.manifest.limits;
        let deadline = self.deadline(at, caller.as_deref());
        let head_only = head.method == Method::HEAD;
        // hyper leaves out such bodies in HTTP/1; between services there is no hyper
        let leave_out = caller.is_some() || head.version >= Version::HTTP_2;
        let job = Job::arrive(id, head, body, deadline, limits, (lane, caller, noted)).await?;
        let response = self.service.dispatch(release, &job).await?;
        Ok(without_needless_body(response, head_only, leave_out))
    }
}

/// Takes away what an answer must not have: a body where none may be (RFC 9110, 6.4.1), and the
/// length of the body that a 204 hasn't (8.6).
fn without_needless_body(mut response: Answer, head_only: bool, leave_out: bool) -> Answer {
    let status = response.status();
    if matches!(status, StatusCode::NO_CONTENT) || status.is_informational() {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if leave_out && (head_only || bodiless) {
        *response.body_mut() = empty();
    }
    response
}
