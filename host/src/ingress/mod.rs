//! Where requests come in: connections under a limit, each request checked, routed, given an id and
//! a deadline, and handed to its service.

mod connection;
mod hygiene;
pub mod respond;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use self::respond::Problem;
use crate::body::{Body, BodyError, ReplayBody, empty};
use crate::config::Http;
use crate::dispatch::{DispatchError, Job, RequestId};
use crate::router::Table;
use crate::service::{Ledger, Release, Service};

/// Names a request, in both directions. A client's own is kept if it is well-formed.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a route leads: a service, and the release that was current when the table was made.
#[derive(Clone)]
pub struct Target {
    /// The service.
    pub service: Arc<Service>,
    /// Its release.
    pub release: Arc<Release>,
}

/// The table of routes as of now. A request loads it once, so that it never sees two versions.
pub type Routes = ArcSwap<Table<Target>>;

/// The front door.
pub struct Ingress {
    routes: Arc<Routes>,
    ledger: Arc<Ledger>,
    limits: Http,
}

impl Ingress {
    /// A front door to these routes.
    pub fn new(routes: Arc<Routes>, ledger: Arc<Ledger>, limits: Http) -> Arc<Self> {
        Arc::new(Self {
            routes,
            ledger,
            limits,
        })
    }

    /// Accepts connections until `stop` changes, then lets the requests in flight finish. Dropping
    /// the future drops what is left of them.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let template = stop.clone();
        let places = Arc::new(Semaphore::new(self.limits.max_connections.get()));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = connections.join_next() => {}
                accepted = accept(&listener, &places) => {
                    let Some((stream, place)) = accepted else { continue };
                    let ingress = Arc::clone(&self);
                    let stop = template.clone();
                    connections.spawn(async move {
                        let open = ingress.ledger.metrics.connections();
                        open.inc();
                        connection::serve(&ingress, stream, stop).await;
                        open.dec();
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let arrived = Instant::now();
        let id = request_id(request.headers());
        let version = request.version();
        let mut response = match self.forward(arrived, &id, request).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(&id, version),
        };
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }

    async fn forward(
        &self,
        arrived: Instant,
        id: &RequestId,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let (mut head, incoming) = request.into_parts();
        let authority = hygiene::check(&head).map_err(Problem::closing)?;
        let target = {
            let routes = self.routes.load();
            let host = authority.as_ref().map(Authority::host);
            routes.find(host, head.uri.path()).cloned().ok_or_else(|| {
                self.ledger.metrics.unrouted().inc();
                Problem::no_route()
            })?
        };
        complete_head(&mut head, authority.as_ref(), id)?;
        let outcome = run(&target, arrived, id, head, incoming).await;
        let result = outcome.map_err(|error| {
            debug!(service = %target.service.name, request = %id, %error, "a request failed");
            Problem::from(&error)
        });
        let status = result
            .as_ref()
            .map_or_else(|problem| problem.status, Response::status);
        target.service.metrics.answered(status);
        target
            .service
            .metrics
            .duration
            .observe(arrived.elapsed().as_secs_f64());
        result
    }
}

async fn run(
    target: &Target,
    arrived: Instant,
    id: &RequestId,
    head: Parts,
    incoming: Incoming,
) -> Result<Response<Body>, DispatchError> {
    let limits = &target.release.manifest.limits;
    let deadline = arrived + limits.timeout;
    let announced = content_length(&head.headers);
    if announced.is_some_and(|length| length > limits.request_body) {
        return Err(DispatchError::TooLarge {
            limit: limits.request_body,
        });
    }
    let stream = incoming
        .map_err(|error| BodyError::Client(error.to_string()))
        .boxed_unsync();
    let body = ReplayBody::new(stream, limits.replay_body, limits.request_body);
    let short = announced.is_some_and(|length| (1..=limits.replay_body as u64).contains(&length));
    if short {
        // a short body is waited for here, so that a slow sender holds no instance
        match timeout_at(deadline, body.buffer()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(DispatchError::ClientBody),
            Err(_) => return Err(DispatchError::ClientTooSlow),
        }
    }
    // hyper leaves a body out of the answer to HEAD only in HTTP/1
    let bare = head.method == Method::HEAD && head.version >= Version::HTTP_2;
    let job = Job {
        id: id.clone(),
        head,
        body,
        deadline,
        hops: 0,
    };
    let response = target.service.dispatch(&target.release, &job).await?;
    Ok(if bare {
        response.map(|_| empty())
    } else {
        response
    })
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            // out of file descriptors, or a client that went away; both pass
            warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(RequestId::random)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Makes the head what a guest is to see: an absolute URI, no fields that concern only the
/// connection (RFC 9110, 7.6.1), and the request's id.
fn complete_head(
    head: &mut Parts,
    authority: Option<&Authority>,
    id: &RequestId,
) -> Result<(), Problem> {
    let path = head
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    // HTTP/1.0 has no Host of need; guests of the 0.2 generation want an authority
    uri.authority = Some(
        authority
            .cloned()
            .unwrap_or_else(|| Authority::from_static("localhost")),
    );
    uri.path_and_query = Some(path);
    head.uri = Uri::from_parts(uri)
        .map_err(|_| Problem::bad_request("the request target is not valid"))?;
    hygiene::strip_connection_fields(&mut head.headers);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        head.headers.insert(REQUEST_ID, value);
    }
    Ok(())
}

impl Problem {
    fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no service has a route for this host and path",
        )
    }
}
