//! The connection to a host's admin API: one request on one connection, and errors that say what to
//! do.

mod address;
mod error;
mod follow;
mod sse;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::timeout;

use self::address::Address;
pub(super) use self::error::Error;
pub(super) use self::follow::{Follow, News, follow};
pub(super) use self::sse::{Message, Stream};
use self::token::Token;

/// How long a host may take to answer a question.
const ANSWER: Duration = Duration::from_secs(30);
/// The most that is read of an answer, in bytes.
const MOST: usize = 64 << 20;

/// Which host, and how to be let in. What serves as its value is said in the help of each command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Host")]
pub(super) struct Options {
    /// Where the host's admin listener is
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9090",
        env = "WHARF_ADMIN",
        hide_env_values = true
    )]
    pub(super) admin: Address,
    /// The host's data directory, for the `admin.token` in it
    #[arg(
        long,
        value_name = "DIR",
        default_value = "data",
        env = "WHARF_DATA",
        hide_env_values = true
    )]
    pub(super) data: PathBuf,
    /// The file with the token, if it is elsewhere; `WHARF_TOKEN` can hold the token itself
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

/// Asks one host.
#[derive(Clone)]
pub(super) struct Client {
    options: Options,
    /// What `WHARF_TOKEN` says.
    token: Option<String>,
}

/// A body to be sent, and what it is.
pub(super) struct Upload {
    /// Its `Content-Type`.
    pub(super) kind: String,
    /// The body.
    pub(super) bytes: Bytes,
}

/// What the host answered: a JSON document, or nothing.
#[derive(Debug)]
pub(super) struct Answer {
    /// The document, as it came.
    pub(super) text: String,
    address: String,
}

impl Answer {
    /// What a command needs of it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.text).map_err(|error| Error::not_wharf(&self.address, error))
    }
}

impl Client {
    /// A client with the token that the options or the environment name.
    pub(super) fn new(options: &Options) -> Self {
        Self::with_token(options, std::env::var("WHARF_TOKEN").ok())
    }

    /// The same, with what `WHARF_TOKEN` says.
    pub(super) fn with_token(options: &Options, token: Option<String>) -> Self {
        Self {
            options: options.clone(),
            token,
        }
    }

    /// The host, as the operator named it.
    pub(super) fn address(&self) -> String {
        self.options.admin.to_string()
    }

    /// The token.
    pub(super) fn token(&self) -> Result<String, Error> {
        Ok(Token::find(&self.options, self.token.as_deref())?.text)
    }

    /// Reads something.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Error> {
        let answer = self.send(Method::GET, path, None);
        timeout(ANSWER, answer)
            .await
            .unwrap_or_else(|_| Err(Error::slow(&self.address(), ANSWER)))
    }

    /// Changes something. The host answers when it is done, however long that takes.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        upload: Option<Upload>,
    ) -> Result<Answer, Error> {
        let address = self.address();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, "application/json");
        if let Some(upload) = &upload {
            request = request.header(CONTENT_TYPE, &upload.kind);
        }
        let bytes = upload.map(|upload| upload.bytes).unwrap_or_default();
        let response = self.exchange(request, bytes).await?;
        if response.status() == StatusCode::NO_CONTENT {
            let text = String::new();
            return Ok(Answer { text, address });
        }
        if !has_type(&response, "application/json") {
            return Err(Error::not_wharf(
                &address,
                "it answered with something else than JSON",
            ));
        }
        let text = read(response, &address).await?;
        serde_json::from_str::<IgnoredAny>(&text)
            .map_err(|error| Error::not_wharf(&address, error))?;
        Ok(Answer { text, address })
    }

    /// Opens a stream of events.
    pub(super) async fn stream(&self, path: &str, after: Option<&str>) -> Result<Stream, Error> {
        let address = self.address();
        let mut request = Request::builder()
            .uri(path)
            .header(ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let answer = self.exchange(request, Bytes::new());
        let response = timeout(ANSWER, answer)
            .await
            .unwrap_or_else(|_| Err(Error::slow(&address, ANSWER)))?;
        if !has_type(&response, "text/event-stream") {
            return Err(Error::not_wharf(
                &address,
                "it answered with something else than a stream",
            ));
        }
        Ok(Stream::new(response.into_body(), address))
    }

    /// Sends a request and takes the head of the answer, if it isn't a failure.
    async fn exchange(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let address = self.address();
        // first, for without a host it doesn't matter that there is no token
        let (connection, authority) = self.options.admin.connect().await?;
        let token = Token::find(&self.options, self.token.as_deref())?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|error| Error::lost(&address, error))?;
        // it ends with the sender and the body that is read
        tokio::spawn(driver);
        let request = request
            .header(HOST, authority)
            .header(AUTHORIZATION, format!("Bearer {}", token.text))
            .header(USER_AGENT, concat!("wharf/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| Error::lost(&address, error))?;
        let response = sender.send_request(request).await.map_err(|error| {
            if error.is_parse() {
                Error::not_wharf(&address, "it doesn't speak HTTP")
            } else {
                Error::lost(&address, error)
            }
        })?;
        accept(response, &address, token.source).await
    }
}

/// The answer, or why it is a failure.
async fn accept(
    response: Response<Incoming>,
    address: &str,
    origin: String,
) -> Result<Response<Incoming>, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status == StatusCode::UNAUTHORIZED && response.headers().contains_key(WWW_AUTHENTICATE) {
        let address = address.to_owned();
        return Err(Error::Unauthorized { address, origin });
    }
    if !has_type(&response, "application/problem+json") {
        let what = format!("it answered {status}, and not as a Wharf would");
        return Err(Error::not_wharf(address, what));
    }
    let text = read(response, address).await?;
    Err(Error::refused(status, text))
}

fn has_type(response: &Response<Incoming>, wanted: &str) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted)
}

async fn read(response: Response<Incoming>, address: &str) -> Result<String, Error> {
    let body = Limited::new(response.into_body(), MOST)
        .collect()
        .await
        .map_err(|error| Error::lost(address, error))?;
    String::from_utf8(body.to_bytes().into()).map_err(|error| Error::not_wharf(address, error))
}
