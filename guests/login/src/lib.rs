//! The service `login`: `POST /login` begins a session, `GET /login/session` tells whose a token
//! is and until when, `DELETE /login/session` ends it.
//!
//! The body of a login is `{"username": "...", "password": "..."}`, the answer
//! `{"token": "...", "token_type": "Bearer", "expires_in": SECONDS}` (as in RFC 6749, section
//! 5.1). A session is `{"username": "...", "expires_at": "2030-01-01T00:00:00Z"}` (RFC 3339).
//!
//! Who somebody is, the service `accounts` finds out, whose function `verify` is called. This one owns
//! the sessions, and the count of failed logins. Its bucket holds, in JSON:
//!
//! | key | value |
//! |---|---|
//! | `session/DIGEST`, the SHA-256 of a token | whose it is, and until when |
//! | `failures/PAGE` | the failed logins of the names that fall on that page |

#[cfg(any(test, target_family = "wasm"))]
mod bindings;
#[cfg(any(test, target_family = "wasm"))]
mod service;
#[cfg(any(test, target_family = "wasm"))]
mod sessions;
#[cfg(any(test, target_family = "wasm"))]
mod settings;
#[cfg(any(test, target_family = "wasm"))]
mod throttle;

#[cfg(target_family = "wasm")]
mod component {
    use accounts_core::wasi::{self, Bucket};
    use wstd::http::{Body, Error, Request, Response};

    use super::bindings::wasi::config::store;
    use super::bindings::wharf::accounts::users;
    use super::settings::{Settings, SettingsError};

    #[wstd::http_server]
    async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
        wasi::answer(request, async |request| {
            let bucket = Bucket::new("sessions");
            super::service::handle(request, users::verify, &bucket, &Config, wasi::now()).await
        })
        .await
    }

    /// What the manifest sets under `grants.config`.
    struct Config;

    impl Settings for Config {
        fn get(&self, key: &str) -> Result<Option<String>, SettingsError> {
            store::get(key).map_err(|error| match error {
                store::Error::Upstream(reason) | store::Error::Io(reason) => {
                    SettingsError::Host(reason)
                }
            })
        }
    }
}
