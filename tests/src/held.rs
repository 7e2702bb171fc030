//! A request that stays in flight for as long as a test wants, without anybody sleeping.

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use crate::PATIENCE;
use crate::client::{Target, streamed};

/// A request to an `echo` action: its body is still open, and part of it has come back.
pub struct Held {
    body: mpsc::Sender<Frame<Bytes>>,
    response: Response<Incoming>,
}

impl Held {
    /// Sends the head and a first part of the body, and waits for that to come back.
    pub async fn open(target: &Target, path: &str) -> Self {
        let (body, frames) = mpsc::channel(1);
        let request = target.request(Method::POST, path, streamed(frames));
        let first = Frame::data(Bytes::from_static(b"held"));
        // The channel takes one frame before the request begins to be sent.
        body.send(first)
            .await
            .expect("the request holds the other end");
        let response = target.client.start(request).await;
        let response = response.unwrap_or_else(|error| panic!("POST {path}: {error:?}"));
        assert_eq!(response.status(), 200, "POST {path}");
        let mut held = Self { body, response };
        held.receive("held").await;
        held
    }

    /// The instance that it is in.
    pub fn instance(&self) -> String {
        let name = self.response.headers().get("x-instance");
        let name = name.and_then(|name| name.to_str().ok());
        name.expect("the fault components name themselves")
            .to_owned()
    }

    /// Sends another part of the body and waits for it to come back.
    pub async fn exchange(&mut self, part: &str) {
        let frame = Frame::data(Bytes::copy_from_slice(part.as_bytes()));
        self.body
            .send(frame)
            .await
            .expect("the request is still being sent");
        self.receive(part).await;
    }

    /// Ends the request in good order, and asserts that the response ends so too.
    pub async fn release(self) {
        let trailers = self.release_with(None).await;
        assert_eq!(trailers, None);
    }

    /// As [`Self::release`], with trailers; gives back those of the response.
    pub async fn release_with(mut self, trailers: Option<HeaderMap>) -> Option<HeaderMap> {
        if let Some(trailers) = trailers {
            let frame = Frame::trailers(trailers);
            self.body
                .send(frame)
                .await
                .expect("the request is still being sent");
        }
        drop(self.body);
        let rest = tokio::time::timeout(PATIENCE, self.response.body_mut().collect()).await;
        let rest = rest.expect("a released request ends");
        let rest = rest.expect("a released request ends in good order");
        let trailers = rest.trailers().cloned();
        assert_eq!(
            rest.to_bytes(),
            Bytes::new(),
            "nothing was left to come back"
        );
        trailers
    }

    /// Waits until the server breaks the response off.
    pub async fn broken(mut self) {
        let rest = tokio::time::timeout(PATIENCE, self.response.body_mut().collect()).await;
        let rest = rest.expect("the response ends");
        assert!(
            rest.is_err(),
            "the response was to be broken off, not to end as if it were whole"
        );
    }

    async fn receive(&mut self, part: &str) {
        let mut received = Vec::new();
        while received.len() < part.len() {
            let frame = tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("`{part}` was not echoed in {PATIENCE:?}"));
            let frame = frame.expect("an open request's response is open too");
            let frame = frame.expect("an open request's response goes on");
            received.extend(frame.into_data().expect("a body comes before its trailers"));
        }
        assert_eq!(received, part.as_bytes());
    }
}
