//! A failure of the network in the words of `wasi:http`.

use wasmtime_wasi_http::Error;

use crate::network::NetworkError;

/// The case of `error-code` that a failure stands for. What else is known of it stays with the host.
pub(super) fn to_wasi(error: &NetworkError) -> Error {
    match error {
        NetworkError::Denied(_) => Error::HttpRequestDenied,
        NetworkError::UriInvalid(_) => Error::HttpRequestUriInvalid,
        NetworkError::RequestBodySize { actual, .. } => Error::HttpRequestBodySize(Some(*actual)),
        NetworkError::DnsTimeout => Error::DnsTimeout,
        NetworkError::Dns(_) => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        NetworkError::DestinationNotFound => Error::DestinationNotFound,
        NetworkError::DestinationUnavailable(_) => Error::DestinationUnavailable,
        NetworkError::IpProhibited { .. } => Error::DestinationIpProhibited,
        NetworkError::IpUnroutable => Error::DestinationIpUnroutable,
        NetworkError::ConnectionRefused => Error::ConnectionRefused,
        NetworkError::ConnectionTerminated => Error::ConnectionTerminated,
        NetworkError::ConnectionTimeout => Error::ConnectionTimeout,
        NetworkError::ReadTimeout => Error::ConnectionReadTimeout,
        NetworkError::WriteTimeout => Error::ConnectionWriteTimeout,
        NetworkError::ConnectionLimit => Error::ConnectionLimitReached,
        NetworkError::TlsProtocol(_) => Error::TlsProtocolError,
        NetworkError::TlsCertificate(_) => Error::TlsCertificateError,
        NetworkError::TlsAlert { id, message } => Error::TlsAlertReceived {
            alert_id: Some(*id),
            alert_message: Some(message.clone()),
        },
        NetworkError::ResponseIncomplete => Error::HttpResponseIncomplete,
        NetworkError::ResponseHead => Error::HttpResponseHeaderSectionSize(None),
        NetworkError::Upgraded => Error::HttpUpgradeFailed,
        NetworkError::Protocol(_) => Error::HttpProtocolError,
        NetworkError::RequestBody(why) | NetworkError::Internal(why) => {
            Error::InternalError(Some(why.clone()))
        }
    }
}
