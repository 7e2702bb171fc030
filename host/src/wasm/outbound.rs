//! What happens to a guest's outgoing request: the network if its manifest grants that, otherwise
//! the interface's own refusal.

use std::sync::Arc;

use http::{HeaderName, Request};
use http_body_util::BodyExt;
use tracing::warn;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks,
};

use super::active::Active;
use super::refusals::Refusals;
use super::state::Blueprint;
use crate::dispatch::Effect;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Io), Error>;

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

    /// Whether the manifest grants the request's scheme, host and port.
    fn granted(&self, uri: &http::Uri) -> bool {
        let Some(authority) = uri.authority() else {
            return false;
        };
        let scheme = uri.scheme_str().unwrap_or("https");
        let port = authority
            .port_u16()
            .unwrap_or(if scheme == "http" { 80 } else { 443 });
        // "user@host" would be dialled as a host name of its own
        let plain = !authority.as_str().contains('@');
        plain
            && self
                .blueprint
                .grants
                .http
                .iter()
                .any(|grant| grant.allows(scheme, authority.host(), port))
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
        if !self.granted(request.uri()) {
            let uri = request.uri();
            let origin = format!(
                "{}://{}",
                uri.scheme_str().unwrap_or("https"),
                uri.authority().map_or("", |a| a.as_str())
            );
            if self.refusals.first(&origin) {
                warn!(service = %self.blueprint.service, origin, manifest = %self.blueprint.manifest_file,
                "an outgoing request was refused; grants.http = [\"{origin}\"] in the manifest would allow it");
            }
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        self.active.record(Effect::Outbound);
        Box::new(async move {
            let (response, io) = wasmtime_wasi_http::default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as Io))
        })
    }
}
