//! The service `register`: `POST /register` creates a user.
//!
//! The body is `{"username": "...", "password": "..."}`; the answer 201 with
//! `{"username": "..."}` and the user's `Location`. Nothing is served at that location: an answer
//! there would tell who has an account.

#[cfg(any(test, target_family = "wasm"))]
mod service;

#[cfg(target_family = "wasm")]
mod component {
    use accounts_core::wasi;
    use wstd::http::{Body, Error, Request, Response};

    #[wstd::http_server]
    async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
        wasi::answer(request, async |request, host: &wasi::Host| {
            super::service::handle(request, &host.store, host.now()).await
        })
        .await
    }
}
