//! One request and its answer, whoever asks: a client through the [`ingress`](crate::ingress), or
//! another service through [`calls`](crate::calls).

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use tokio::time::Instant;
use tracing::debug;

use crate::body::{Body, empty};
use crate::dispatch::{Caller, DispatchError, Job, RequestId};
use crate::ingress::respond::Problem;
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
    /// Its head, as a guest is to see it.
    pub head: Parts,
    /// Its body.
    pub body: Body,
    /// The service that asks; `None` for a client outside.
    pub caller: Option<Caller>,
}

impl Target {
    /// Has a request answered, and counts how.
    ///
    /// # Errors
    ///
    /// Why the service has no answer, for whoever asked.
    pub async fn answer(&self, arrival: Arrival) -> Result<Response<Body>, Problem> {
        let (at, id) = (arrival.at, arrival.id.clone());
        let result = self.run(arrival).await.map_err(|error| {
            debug!(service = %self.service.name, request = %id, %error, "a request failed");
            Problem::from(&error)
        });
        let status = result
            .as_ref()
            .map_or_else(|problem| problem.status, Response::status);
        self.service.metrics.answered(status);
        self.service.metrics.duration.observe(at.elapsed());
        result
    }

    async fn run(&self, arrival: Arrival) -> Result<Response<Body>, DispatchError> {
        let Arrival {
            at,
            id,
            head,
            body,
            caller,
        } = arrival;
        let limits = &self.release.manifest.limits;
        let own = at + limits.timeout;
        // a call has what is left of its caller's time
        let deadline = caller
            .as_ref()
            .map_or(own, |caller| own.min(caller.deadline));
        let head_only = head.method == Method::HEAD;
        // hyper leaves out such bodies in HTTP/1; between services there is no hyper
        let leave_out = caller.is_some() || head.version >= Version::HTTP_2;
        let job = Job::arrive(id, head, body, deadline, limits, caller).await?;
        let response = self.service.dispatch(&self.release, &job).await?;
        Ok(without_needless_body(response, head_only, leave_out))
    }
}

/// Takes away what an answer must not have: a body where none may be (RFC 9110, 6.4.1), and the
/// length of the body that a 204 hasn't (8.6).
fn without_needless_body(
    mut response: Response<Body>,
    head_only: bool,
    leave_out: bool,
) -> Response<Body> {
    let status = response.status();
    if matches!(status, StatusCode::NO_CONTENT) || status.is_informational() {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if leave_out && (head_only || bodiless) {
        return response.map(|_| empty());
    }
    response
}
