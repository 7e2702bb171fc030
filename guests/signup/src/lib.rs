//! The service `signup`: `POST /signup` creates a user and begins a session, in one request.
//!
//! It does neither itself: it calls the services `register` and `login`, by their names, with the
//! body that it was sent, `{"username": "...", "password": "..."}`. The answer is 201 with what both
//! said, `{"username": "...", "token": "...", "token_type": "Bearer", "expires_in": SECONDS}`, and
//! the user's `Location`.
//!
//! | what happened | the answer |
//! |---|---|
//! | `register` refused | its refusal |
//! | `register` can't be reached, or answered 503 | 503, with its `Retry-After` if it gave one |
//! | `register` failed in another way | 502: whether there is a user now is not known |
//! | `login` refused (429, say) | its refusal, with the member `"registered": true` |
//! | `login` failed or can't be reached | 502 with the member `"registered": true`: log in later |
//!
//! A problem that is a service's failure names it in the member `service`.

#[cfg(any(test, target_family = "wasm"))]
mod service;

#[cfg(target_family = "wasm")]
mod component {
    use accounts_core::wasi;
    use wstd::http::body::Bytes;
    use wstd::http::{Body, Client, Error, Request, Response, Uri};

    use super::service::{self, Services};

    #[wstd::http_server]
    async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
        wasi::answer(request, async |request| {
            service::handle(request, &Internal).await
        })
        .await
    }

    /// The services beside this one: Wharf has NAME answer what is sent to `NAME.internal`.
    struct Internal;

    impl Services for Internal {
        type Body = wasi::Incoming;
        type Error = Error;

        async fn call(
            &self,
            service: &str,
            request: Request<Bytes>,
        ) -> Result<Response<wasi::Incoming>, Error> {
            let (mut head, body) = request.into_parts();
            let mut uri = head.uri.into_parts();
            uri.scheme = Some("http".parse()?);
            uri.authority = Some(format!("{service}.internal").parse()?);
            head.uri = Uri::from_parts(uri)?;
            let request = Request::from_parts(head, Body::from(body));
            let response = Client::new().send(request).await?;
            Ok(response.map(Body::into_boxed_body))
        }
    }
}
