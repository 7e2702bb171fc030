//! What happens to a guest's outgoing request: another service answers it, or the network, if its
//! manifest grants that; otherwise the interface's own refusal does.

mod failure;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks,
};

use self::failure::to_wasi;
use super::active::Active;
use super::proxy2::to_guest;
use super::refusals::Refusals;
use super::state::Blueprint;
use crate::body::patient::{Late, Patient};
use crate::body::{Body, BodyError};
use crate::calls::{inherit, service_of};
use crate::config::ServiceName;
use crate::dispatch::{Caller, Effect};
use crate::ingress::REQUEST_ID;
use crate::network::{Denial, Network, NetworkError, Timeouts};
use crate::telemetry::otlp::Span;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Io), Error>;

/// Longer than any deadline, which ends a call anyway.
const FOR_EVER: Duration = Duration::from_hours(24);

/// See the module.
pub(super) struct Outbound {
    blueprint: Arc<Blueprint>,
    active: Active,
    refusals: Refusals,
}

impl Outbound {
    pub(super) fn new(blueprint: Arc<Blueprint>, active: Active) -> Self {
        Self {
            blueprint,
            active,
            refusals: Refusals::default(),
        }
    }

    /// Who calls the service `name`, and whether that is granted.
    fn call(
        &mut self,
        name: &str,
        request: &Request<WasiBody>,
    ) -> Result<(Caller, ServiceName), Error> {
        let (blueprint, uri) = (&self.blueprint, request.uri());
        let usual = uri.port_u16().is_none_or(|port| port == 80)
            && uri.scheme_str() == Some("http")
            && uri.authority().is_some_and(|it| !it.as_str().contains('@'));
        if !usual {
            if self.refusals.first(&format!("service {name}")) {
                warn!(service = %blueprint.service, called = name,
                    "a call was refused; services are called at http://NAME.internal/PATH");
            }
            return Err(Error::HttpRequestUriInvalid);
        }
        let Some(granted) = blueprint.grants.services.get(name).cloned() else {
            if self.refusals.first(&format!("service {name}")) {
                warn!(service = %blueprint.service, called = name, manifest = %blueprint.manifest_file,
                    "a call was refused; grants.services = [\"{name}\"] in the manifest would allow it");
            }
            return Err(Error::HttpRequestDenied);
        };
        let caller = self.active.caller(request.headers().get(REQUEST_ID));
        let caller = caller.ok_or_else(|| {
            Error::InternalError(Some("there is no request that the call is part of".into()))
        })?;
        Ok((caller, granted))
    }

    /// Makes sure that a request may go out into the world, and records that it does.
    fn go_out(&mut self, request: &Request<WasiBody>) -> Result<(), Error> {
        let permitted = Network::permits(request.uri(), &self.blueprint.grants.http);
        if let Err(error) = permitted {
            self.refuse(&error);
            return Err(to_wasi(&error));
        }
        let recorded = self.active.record(Effect::Outbound);
        recorded.map_err(|superseded| Error::InternalError(Some(superseded.to_string())))
    }

    /// A request that goes out into the world, and says what its answer is part of.
    fn traced(&self, mut request: Request<WasiBody>) -> (Request<WasiBody>, Span) {
        let tracer = &self.blueprint.reach.tracer;
        if !tracer.is_on() {
            return (request, Span::none());
        }
        let trace = self.active.trace(request.headers().get(REQUEST_ID));
        inherit(request.headers_mut(), &trace);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let span = tracer.outgoing(&method, &uri, request.headers_mut());
        (request, span)
    }

    fn refuse(&mut self, error: &NetworkError) {
        let (service, manifest) = (&self.blueprint.service, &self.blueprint.manifest_file);
        match error {
            NetworkError::Denied(Denial::NotGranted { origin }) if self.refusals.first(origin) => {
                warn!(%service, origin, %manifest,
                    "an outgoing request was refused; grants.http = [\"{origin}\"] in the manifest would allow it");
            }
            NetworkError::Denied(Denial::NotGranted { .. }) => {}
            _ if self.refusals.first(&error.to_string()) => {
                warn!(%service, %error, "an outgoing request was refused");
            }
            _ => {}
        }
    }
}

impl WasiHttpHooks for Outbound {
    /// As it is anyway, without a box made for each name.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let blueprint = Arc::clone(&self.blueprint);
        if let Some(name) = request.uri().host().and_then(service_of) {
            let name = name.to_ascii_lowercase();
            return match self.call(&name, &request) {
                Ok((caller, name)) => Box::new(ask(blueprint, caller, name, request, options)),
                Err(error) => refused(request, error),
            };
        }
        match self.go_out(&request) {
            Ok(()) => {
                let (request, span) = self.traced(request);
                Box::new(send(blueprint, request, options, span))
            }
            Err(error) => refused(request, error),
        }
    }
}

/// Refuses a request. Its body goes with the answer and not before: a guest whose write fails would
/// take that for the reason.
fn refused(request: Request<WasiBody>, error: Error) -> Box<dyn Future<Output = Sent> + Send> {
    Box::new(async move {
        drop(request);
        Err(error)
    })
}

/// Has another service answer. Its effects, if it has any, are recorded as they happen.
async fn ask(
    blueprint: Arc<Blueprint>,
    caller: Caller,
    name: ServiceName,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Sent {
    let options = options.unwrap_or_default();
    let until = Instant::now() + options.first_byte_timeout.unwrap_or(FOR_EVER);
    let request = request
        .map(|body| Body::stream(body.map_err(|error| BodyError::Client(error.to_string()))));
    let answer = blueprint.reach.calls.http(caller, &name, request);
    let response = timeout_at(until, answer).await;
    let response = response.map_err(|_| Error::ConnectionReadTimeout)?;
    Ok(match options.between_bytes_timeout {
        Some(patience) => {
            received(
                response.map(|body| Patient::new(body, patience)),
                |error| match error {
                    Late::TimedOut => Error::ConnectionReadTimeout,
                    Late::Body(error) => to_guest(error),
                },
            )
        }
        None => received(response, to_guest),
    })
}

/// Has the network answer.
async fn send(
    blueprint: Arc<Blueprint>,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
    mut span: Span,
) -> Sent {
    let timeouts = options.map_or_else(Timeouts::default, |options| Timeouts {
        connect: options.connect_timeout,
        first_byte: options.first_byte_timeout,
        between_bytes: options.between_bytes_timeout,
    });
    let request = request.map(|body| body.map_err(|error| error.to_string()));
    let sent = blueprint
        .network
        .send(request, &blueprint.grants.http, timeouts);
    match sent.await {
        Ok(response) => {
            span.got(response.status());
            Ok(received(response, to_wasi))
        }
        Err(error) => {
            span.fail("network", &error);
            // where a name leads is the operator's to know, not the guest's
            if matches!(error, NetworkError::IpProhibited { .. }) {
                warn!(service = %blueprint.service, %error, "an outgoing request was refused");
            }
            Err(to_wasi(&error))
        }
    }
}

/// A response as the interface wants it; there is nothing left to be driven.
fn received<B>(
    response: http::Response<B>,
    to_wasi: fn(&B::Error) -> Error,
) -> (http::Response<WasiBody>, Io)
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
{
    let response = response.map(|body| body.map_err(move |error| to_wasi(&error)).boxed_unsync());
    (response, Box::new(async { Ok(()) }))
}
