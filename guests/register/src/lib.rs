//! The service `register`: `POST /register` creates a user.
//!
//! The body is `{"username": "...", "password": "..."}`; the answer 201 with
//! `{"username": "..."}` and the user's `Location`. Nothing is served at that location: an answer
//! there would tell who has an account.
//!
//! Who may have which name and password, and whether a name is free, is for the service `accounts` to
//! say, whose function `create` is called. This one puts it into HTTP, and keeps nothing.

#[cfg(any(test, target_family = "wasm"))]
mod bindings;
#[cfg(any(test, target_family = "wasm"))]
mod service;

#[cfg(target_family = "wasm")]
mod component {
    use accounts_core::wasi;
    use wstd::http::{Body, Error, Request, Response};

    use super::bindings::wharf::accounts::users;

    #[wstd::http_server]
    async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
        wasi::answer(request, async |request| {
            super::service::handle(request, users::create).await
        })
        .await
    }
}
