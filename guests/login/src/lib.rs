//! The service `login`: `POST /login` begins a session, `GET /login/session` tells whose a token
//! is and until when, `DELETE /login/session` ends it.
//!
//! The body of a login is `{"username": "...", "password": "..."}`, the answer
//! `{"token": "...", "token_type": "Bearer", "expires_in": SECONDS}` (as in RFC 6749, section
//! 5.1). A session is `{"username": "...", "expires_at": "2030-01-01T00:00:00Z"}` (RFC 3339).

#[cfg(any(test, target_family = "wasm"))]
mod service;
#[cfg(any(test, target_family = "wasm"))]
mod settings;

#[cfg(target_family = "wasm")]
mod component {
    use accounts_core::wasi;
    use wstd::http::{Body, Error, Request, Response};

    #[wstd::http_server]
    async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
        wasi::answer(request, async |request, host: &wasi::Host| {
            super::service::handle(request, &host.store, &host.settings, host.now()).await
        })
        .await
    }
}
