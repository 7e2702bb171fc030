//! TLS to the peer. The public certificate authorities are compiled in, so that a host in an empty
//! container has them and all hosts have the same; those of a house are added in the settings.

use std::sync::Arc;

use http::Uri;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::dial::Io;
use super::error::{NetworkError, SetupError};
use super::failure;

/// See the module.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// How a client speaks TLS that trusts the public certificate authorities and `authorities`.
///
/// # Errors
///
/// One of `authorities` isn't one.
pub(crate) fn client_config(
    authorities: &[CertificateDer<'static>],
) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.into(),
    };
    for authority in authorities {
        roots
            .add(authority.clone())
            .map_err(|error| SetupError::Authority(error.to_string()))?;
    }
    // Named here rather than taken from the process, where there is none unless someone sets it
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A connection with TLS, and whether HTTP/2 was agreed on.
pub(super) struct Secured {
    pub(super) io: Box<dyn Io>,
    pub(super) h2: bool,
}

impl Tls {
    /// With the public certificate authorities and `authorities`.
    ///
    /// # Errors
    ///
    /// One of `authorities` isn't one.
    pub(super) fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, SetupError> {
        let mut config = client_config(authorities)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Speaks TLS over `io`, with the host of `uri` as the name that the certificate must have.
    pub(super) async fn secure(&self, uri: &Uri, io: Box<dyn Io>) -> Result<Secured, NetworkError> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| NetworkError::UriInvalid(error.to_string()))?;
        let stream = self
            .0
            .connect(name, io)
            .await
            .map_err(|error| failure::of_dial(&error))?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = Box::new(stream);
        Ok(Secured { io, h2 })
    }
}
