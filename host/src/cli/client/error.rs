//! Why a host could not be asked, or said no, and what to do.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use thiserror::Error as ThisError;

/// The exit code if a host was asked in vain.
const FAILED: u8 = 1;
/// The exit code if no host was reached.
const NO_HOST: u8 = 3;

/// A failure of a request. What comes from the host is as it came: whoever shows it makes it harmless.
#[derive(Debug, ThisError)]
pub(in crate::cli) enum Error {
    /// Nothing listens there.
    #[error(
        "no host at {address} ({cause}): is `wharf serve` running? --admin names another address"
    )]
    NoHost {
        /// Where.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Something else listens there.
    #[error(
        "what answers at {address} is no Wharf, or one that this command is too old or too new for: {what}; --admin names another address"
    )]
    NotWharf {
        /// Where.
        address: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The connection broke, and nobody knows what the host made of the request.
    #[error("the host at {address} was lost: {what}; `wharf status` says what became of it")]
    Lost {
        /// Where.
        address: String,
        /// How.
        what: String,
    },
    /// There is no token to be let in with.
    #[error("{what}{}: {advice}", .cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default())]
    Token {
        /// What is missing.
        what: String,
        /// What to do.
        advice: &'static str,
        /// What the system says.
        cause: Option<io::Error>,
    },
    /// The token is another host's.
    #[error(
        "the host at {address} doesn't take the token in {origin}: is it another host's? --data names the data directory of this one"
    )]
    Unauthorized {
        /// Where.
        address: String,
        /// Where the token came from.
        origin: String,
    },
    /// The host understood, and says no.
    #[error("{message}")]
    Refused {
        /// Why, for people.
        message: String,
        /// The kind of refusal.
        status: StatusCode,
        /// The problem document (RFC 9457), as it came.
        document: String,
    },
}

/// The fields of a problem document that are shown.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

impl Error {
    pub(in crate::cli) fn not_wharf(address: &str, what: impl Display) -> Self {
        Self::NotWharf {
            address: address.to_owned(),
            what: what.to_string(),
        }
    }

    pub(super) fn lost(address: &str, cause: impl Display) -> Self {
        Self::Lost {
            address: address.to_owned(),
            what: cause.to_string(),
        }
    }

    pub(super) fn slow(address: &str, waited: Duration) -> Self {
        Self::lost(address, format!("no answer in {} s", waited.as_secs()))
    }

    pub(super) fn refused(status: StatusCode, document: String) -> Self {
        let problem = serde_json::from_str(&document).unwrap_or(Problem {
            title: String::new(),
            detail: String::new(),
        });
        let message = [problem.detail, problem.title, status.to_string()]
            .into_iter()
            .find(|text| !text.trim().is_empty())
            .unwrap_or_default();
        Self::Refused {
            message,
            status,
            document,
        }
    }

    /// What happened, for whoever is going to try again.
    pub(super) fn in_passing(&self) -> String {
        match self {
            Self::Lost { address, what } => format!("lost the host at {address} ({what})"),
            other => other.to_string(),
        }
    }

    /// Whether the same may go well a moment later, as it does when a host is restarted.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoHost { .. } | Self::Lost { .. } | Self::Refused { .. } => true,
            Self::NotWharf { .. } | Self::Token { .. } | Self::Unauthorized { .. } => false,
        }
    }

    /// The exit code of a command that ends with it.
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::NoHost { .. } | Self::NotWharf { .. } => NO_HOST,
            Self::Lost { .. }
            | Self::Token { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. } => FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_as_much_as_the_host_did() {
        let message =
            |document: &str| Error::refused(StatusCode::CONFLICT, document.to_owned()).to_string();
        assert_eq!(
            message(r#"{"title":"Conflict","detail":"it is held"}"#),
            "it is held"
        );
        assert_eq!(message(r#"{"title":"Conflict"}"#), "Conflict");
        assert_eq!(message("oops"), "409 Conflict");
    }
}
