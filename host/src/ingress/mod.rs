//! Where requests come in: connections under a limit, each request checked, routed, given an id and
//! a deadline, and handed to its service.

mod connection;
mod hygiene;
mod pulse;
pub mod respond;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::HeaderName;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use self::respond::Problem;
use crate::body::{Body, BodyError, empty};
use crate::config::Http;
use crate::dispatch::RequestId;
use crate::exchange::{Arrival, Target};
use crate::router::Table;
use crate::service::Ledger;

/// Names a request, in both directions. A client's own is kept if it is well-formed.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
        response.headers_mut().insert(REQUEST_ID, id.into_value());
        response
    }

    async fn forward(
        &self,
        arrived: Instant,
        id: &RequestId,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let (mut head, incoming) = request.into_parts();
        hygiene::check_size(&head, self.limits.max_header_bytes).map_err(Problem::closing)?;
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
        let body = if incoming.is_end_stream() {
            empty()
        } else {
            Body::stream(incoming.map_err(|error| BodyError::Client(error.to_string())))
        };
        let arrival = Arrival {
            at: arrived,
            id: id.clone(),
            head,
            body,
            caller: None,
        };
        target.answer(arrival).await
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
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
    let given = headers.get(REQUEST_ID);
    given
        .and_then(|value| value.clone().try_into().ok())
        .unwrap_or_else(RequestId::random)
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
    head.headers.insert(REQUEST_ID, id.value().clone());
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
