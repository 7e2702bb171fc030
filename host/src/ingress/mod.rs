//! Where requests come in: connections under a limit, each request checked, routed, given an id and
//! a deadline, and handed to its service.

mod connection;
mod hygiene;
mod pulse;
pub mod respond;
mod wire;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::HeaderName;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use self::respond::Problem;
use crate::body::{Body, BodyError, empty};
use crate::clock;
use crate::config::Http;
use crate::dispatch::{Answer, Noted, RequestId};
use crate::exchange::{Arrival, Target};
use crate::router::Table;
use crate::service::Ledger;
use crate::service::lane::Lane;
use crate::telemetry::record::{Record, Recorder};
use crate::threads::Loops;

/// Names a request, in both directions. A client's own is kept if it is well-formed.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The table of routes as of now. A request loads it once, so that it never sees two versions.
pub type Routes = ArcSwap<Table<Target>>;

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
struct Client {
    address: IpAddr,
    /// The share of all requests that it belongs to.
    lane: Lane,
}

impl Client {
    fn at(address: SocketAddr) -> Self {
        Self {
            address: address.ip().to_canonical(),
            lane: Lane::of_address(address.ip()),
        }
    }
}

/// The front door.
pub struct Ingress {
    routes: Arc<Routes>,
    ledger: Arc<Ledger>,
    recorder: Recorder,
    limits: Http,
    loops: Arc<Loops>,
}

impl Ingress {
    /// A front door to these routes. Connections are served on `loops`.
    pub fn new(
        routes: Arc<Routes>,
        ledger: Arc<Ledger>,
        recorder: Recorder,
        limits: Http,
        loops: Arc<Loops>,
    ) -> Arc<Self> {
        Arc::new(Self {
            routes,
            ledger,
            recorder,
            limits,
            loops,
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
                    let Some((stream, client, place)) = accepted else { continue };
                    let ingress = Arc::clone(&self);
                    let stop = template.clone();
                    let berth = self.loops.berth();
                    let runtime = berth.runtime().clone();
                    connections.spawn_on(async move {
                        let open = ingress.ledger.metrics.connections();
                        open.inc();
                        connection::serve(&ingress, stream, client, stop).await;
                        open.dec();
                        drop((berth, place));
                    }, &runtime);
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// Answers a request. The record of it is to be kept until the response's body is over.
    async fn handle(&self, client: Client, request: Request<Incoming>) -> (Response<Body>, Record) {
        let arrived = clock::now();
        let (head, incoming) = request.into_parts();
        let head = Box::new(head);
        let id = request_id(&head.headers);
        let version = head.version;
        let mut record = self.recorder.begin(arrived, &id, &head, client.address);
        let forwarded = self
            .forward(arrived, &id, client, (head, incoming), &mut record)
            .await;
        let mut response = match forwarded {
            Ok(response) => *response,
            Err(problem) => problem.into_response(&id, version),
        };
        record.answered(response.status(), response.body().is_end_stream());
        response.headers_mut().insert(REQUEST_ID, id.into_value());
        (response, record)
    }

    async fn forward(
        &self,
        arrived: Instant,
        id: &RequestId,
        client: Client,
        (mut head, incoming): (Box<Parts>, Incoming),
        record: &mut Record,
    ) -> Result<Answer, Problem> {
        let most = self.limits.max_header_bytes;
        let authority = hygiene::check(&head, most).map_err(Problem::closing)?;
        let target = {
            let routes = self.routes.load();
            // to look for it costs more than to see whether any route names one
            let authority = authority.as_ref().filter(|_| routes.names_hosts());
            let host = authority.map(Authority::host);
            let (pattern, target) = routes.find_route(host, head.uri.path()).ok_or_else(|| {
                self.ledger.metrics.unrouted().inc();
                Problem::no_route()
            })?;
            record.routed(pattern);
            target.clone()
        };
        complete_head(&mut head, authority, id)?;
        let body = if incoming.is_end_stream() {
            empty()
        } else {
            let body = incoming.map_err(|error| BodyError::Client(error.to_string()));
            let progress = record.progress();
            if progress.is_wanted() {
                Body::stream(body.map_frame(move |frame| {
                    progress.read(frame.data_ref().map_or(0, Bytes::len));
                    frame
                }))
            } else {
                Body::stream(body)
            }
        };
        let arrival = Arrival {
            at: arrived,
            id: id.clone(),
            head,
            body,
            client: client.lane,
            caller: None,
            noted: Noted {
                progress: record.progress(),
                trace: record.trace(),
            },
        };
        target.answer(arrival).await
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, Client, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let accepted = listener.accept().await;
    // it belongs to no event loop yet
    match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
        Ok((stream, address)) => Some((stream, Client::at(address), place)),
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
    authority: Option<Authority>,
    id: &RequestId,
) -> Result<(), Problem> {
    let mut uri = std::mem::take(&mut head.uri).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    // HTTP/1.0 has no Host of need; guests of the 0.2 generation want an authority
    uri.authority = Some(authority.unwrap_or_else(|| Authority::from_static("localhost")));
    let path = &mut uri.path_and_query;
    path.get_or_insert_with(|| PathAndQuery::from_static("/"));
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
