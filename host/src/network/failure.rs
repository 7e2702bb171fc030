//! What the libraries say went wrong, as a [`NetworkError`]. They wrap each other's errors, so the
//! innermost that is understood decides.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;

use super::error::NetworkError;

/// How far a request had come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Dialling,
    Head,
    Body,
}

/// A connection couldn't be opened or secured.
pub(super) fn of_dial(error: &io::Error) -> NetworkError {
    of_io(error, Stage::Dialling)
}

/// There was no response.
pub(super) fn of_client(error: &legacy::Error) -> NetworkError {
    of_chain(error, Stage::Head)
}

/// The response's body broke off.
pub(super) fn of_body(error: &hyper::Error) -> NetworkError {
    of_chain(error, Stage::Body)
}

fn of_chain(error: &(dyn Error + 'static), stage: Stage) -> NetworkError {
    chain(error)
        .find_map(|error| {
            understood(error).or_else(|| {
                let error = error.downcast_ref::<io::Error>()?;
                Some(of_io(error, stage))
            })
        })
        .or_else(|| chain(error).find_map(|error| Some(of_hyper(error.downcast_ref()?, stage))))
        .unwrap_or_else(|| NetworkError::Internal(error.to_string()))
}

/// `error`, what caused it, what caused that, and so on.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

fn understood(error: &(dyn Error + 'static)) -> Option<NetworkError> {
    if let Some(error) = error.downcast_ref::<NetworkError>() {
        return Some(error.clone());
    }
    error.downcast_ref().map(of_tls)
}

fn of_io(error: &io::Error, stage: Stage) -> NetworkError {
    // An I/O error's `source` skips the very error that it was made of
    if let Some(inner) = error.get_ref() {
        if let Some(inner) = understood(inner) {
            return inner;
        }
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            return of_io(inner, stage);
        }
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NetworkError::ConnectionRefused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => NetworkError::IpUnroutable,
        io::ErrorKind::TimedOut if stage == Stage::Dialling => NetworkError::ConnectionTimeout,
        io::ErrorKind::TimedOut => NetworkError::ReadTimeout,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if stage != Stage::Dialling => {
            NetworkError::Protocol(error.to_string())
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => broken_off(stage),
        _ if stage == Stage::Dialling => NetworkError::DestinationUnavailable(error.to_string()),
        _ => broken_off(stage),
    }
}

fn broken_off(stage: Stage) -> NetworkError {
    if stage == Stage::Body {
        NetworkError::ResponseIncomplete
    } else {
        NetworkError::ConnectionTerminated
    }
}

fn of_tls(error: &rustls::Error) -> NetworkError {
    match error {
        rustls::Error::AlertReceived(alert) => NetworkError::TlsAlert {
            id: u8::from(*alert),
            message: format!("{alert:?}"),
        },
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType
        | rustls::Error::InvalidCertRevocationList(_) => {
            NetworkError::TlsCertificate(error.to_string())
        }
        _ => NetworkError::TlsProtocol(error.to_string()),
    }
}

fn of_hyper(error: &hyper::Error, stage: Stage) -> NetworkError {
    if error.is_parse_too_large() {
        NetworkError::ResponseHead
    } else if error.is_timeout() {
        NetworkError::ReadTimeout
    } else if error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || error.is_body_write_aborted()
    {
        broken_off(stage)
    } else if error.is_user() {
        NetworkError::Internal(error.to_string())
    } else {
        let cause = error.source().map(|cause| format!(": {cause}"));
        NetworkError::Protocol(format!("{error}{}", cause.unwrap_or_default()))
    }
}
