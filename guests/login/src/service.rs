//! A request's way to a session, and what can be done with one.

use std::time::{Duration, SystemTime};

use accounts_core::credentials::Credentials;
use accounts_core::exchange;
use accounts_core::name;
use accounts_core::problem::Problem;
use accounts_core::store::Store;
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use serde::Serialize;

use crate::bindings::wharf::accounts::users::{User, VerifyError};
use crate::sessions::{self, Session, Token};
use crate::settings::{LoginSettings, Settings};
use crate::throttle::{self, Standing};

#[derive(Serialize)]
struct Begun {
    token: String,
    token_type: &'static str,
    expires_in: u32,
}

#[derive(Serialize)]
struct Shown {
    username: String,
    expires_at: String,
}

/// Answers one request; `verify` is the function of the service `accounts`, `now` is in Unix seconds.
pub(crate) async fn handle<B>(
    request: Request<B>,
    verify: impl FnOnce(&str, &str) -> Result<User, VerifyError>,
    store: &impl Store,
    settings: &impl Settings,
    now: u64,
) -> Result<Response<Vec<u8>>, Problem>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    match (request.uri().path(), request.method()) {
        ("/login", &Method::POST) => {
            let credentials = exchange::credentials(request).await?;
            log_in(
                verify,
                store,
                LoginSettings::read(settings)?,
                &credentials,
                now,
            )
        }
        ("/login", _) => Err(Problem::method_not_allowed("POST")),
        ("/login/session", &Method::GET | &Method::HEAD) => show(store, request.headers(), now),
        ("/login/session", &Method::DELETE) => log_out(store, request.headers(), now),
        ("/login/session", _) => Err(Problem::method_not_allowed("GET, HEAD, DELETE")),
        _ => Err(Problem::not_found()),
    }
}

fn log_in(
    verify: impl FnOnce(&str, &str) -> Result<User, VerifyError>,
    store: &impl Store,
    settings: LoginSettings,
    credentials: &Credentials,
    now: u64,
) -> Result<Response<Vec<u8>>, Problem> {
    let folded = name::fold(&credentials.username);
    let standing = throttle::standing(store, settings.throttle, &folded, now)?;
    if let Standing::Blocked { retry_after } = standing {
        let detail = format!(
            "Too many failed logins with this username. Try again in {retry_after} seconds."
        );
        return Err(Problem::too_many_requests(detail, retry_after.get()));
    }
    let user = match verify(&credentials.username, &credentials.password) {
        Ok(user) => user,
        Err(VerifyError::Wrong) => {
            throttle::record_failure(store, settings.throttle, &folded, now)?;
            return Err(Problem::unauthorized(
                "The username or the password is wrong.",
                false,
            ));
        }
        Err(VerifyError::Failed) => {
            return Err(Problem::internal(
                &"the service `accounts` failed to verify a password; its log says why",
            ));
        }
    };
    if standing == Standing::Suspect {
        throttle::forgive(store, &folded, now)?;
    }
    let token = Token::random().map_err(|error| Problem::internal(&error))?;
    let expires_at = now.saturating_add(settings.token_ttl.into());
    sessions::begin(
        store,
        &token,
        &Session {
            username: user.username,
            expires_at,
        },
    )?;
    let begun = Begun {
        token: token.reveal(),
        token_type: "Bearer",
        expires_in: settings.token_ttl,
    };
    exchange::json(StatusCode::OK, &begun)
}

fn show(store: &impl Store, headers: &HeaderMap, now: u64) -> Result<Response<Vec<u8>>, Problem> {
    let (_, session) = session(store, headers, now)?;
    let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(session.expires_at);
    let expires_at = humantime::format_rfc3339_seconds(expires_at).to_string();
    exchange::json(
        StatusCode::OK,
        &Shown {
            username: session.username,
            expires_at,
        },
    )
}

fn log_out(
    store: &impl Store,
    headers: &HeaderMap,
    now: u64,
) -> Result<Response<Vec<u8>>, Problem> {
    let (token, _) = session(store, headers, now)?;
    sessions::end(store, &token)?;
    Ok(exchange::no_content())
}

/// The session that the request's bearer token stands for (RFC 6750, section 2.1).
fn session(store: &impl Store, headers: &HeaderMap, now: u64) -> Result<(Token, Session), Problem> {
    let Some(presented) = bearer(headers) else {
        let detail = "Send the token of a login, with `Authorization: Bearer TOKEN`.";
        return Err(Problem::unauthorized(detail, false));
    };
    let invalid =
        || Problem::unauthorized("The token is not valid, or no longer: log in again.", true);
    let token = Token::parse(presented).ok_or_else(invalid)?;
    let session = sessions::find(store, &token, now)?.ok_or_else(invalid)?;
    Ok((token, session))
}

/// What follows the scheme `Bearer`, which may be written in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
