//! What a client got of a response that may have broken off.

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};

use crate::PATIENCE;
use crate::client::{Body, Reply, Target, whole};

/// A response, as far as it came.
#[derive(Debug)]
pub enum Seen {
    /// It came to its end in good order.
    Whole(Box<Reply>),
    /// It broke off after these bytes of its body, or before its head.
    Broken(Bytes),
}

impl Seen {
    /// The response, which has to be whole.
    pub fn whole(self) -> Reply {
        match self {
            Self::Whole(reply) => *reply,
            Self::Broken(body) => panic!("it broke off after {} bytes", body.len()),
        }
    }

    /// Asserts that nobody can take this for a service's whole answer: it is broken off, after
    /// nothing but what the service sent, or is one of Wharf's own refusals.
    pub fn no_answer(&self, sent: &[u8]) {
        match self {
            Self::Whole(reply) => {
                assert!(reply.status.is_server_error(), "{reply:?}");
                reply.problem(reply.status.as_u16());
            }
            Self::Broken(body) => assert!(
                sent.starts_with(body),
                "it broke off after {} bytes that the service didn't send",
                body.len()
            ),
        }
    }

    /// Asserts that this is the service's whole answer, or was broken off before its end. For what
    /// depends on who is faster.
    pub fn whole_or_broken(&self, sent: &[u8]) {
        match self {
            Self::Whole(reply) => {
                assert_eq!(reply.status, 200, "{reply:?}");
                same(&reply.body, sent);
            }
            Self::Broken(_) => self.no_answer(sent),
        }
    }
}

/// Asserts that two bodies are the same, and says where they aren't without printing them.
pub fn same(got: &[u8], expected: &[u8]) {
    let differs = got
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    assert!(
        got.len() == expected.len() && differs.is_none(),
        "{} bytes instead of {}, the first that differs at {differs:?}",
        got.len(),
        expected.len()
    );
}

/// Reads at least so many bytes of a response that goes on.
pub async fn read(response: &mut Response<Incoming>, count: usize) -> Vec<u8> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let frame = tokio::time::timeout(PATIENCE, response.frame()).await;
        let frame = frame.expect("the bytes come").expect("it has not ended");
        let data = frame.expect("it is not broken off").into_data();
        seen.extend(data.expect("there are no trailers"));
    }
    seen
}

impl Target {
    /// Sends a request over a connection of its own, and takes what comes.
    pub async fn see(&self, request: Request<Body>) -> Seen {
        let started = std::time::Instant::now();
        let line = format!("{} {}", request.method(), request.uri());
        let Ok(response) = self.client.fresh().start(request).await else {
            return Seen::Broken(Bytes::new());
        };
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        let mut trailers = None;
        loop {
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
            let frame =
                frame.unwrap_or_else(|_| panic!("{line}: the body stood still for {PATIENCE:?}"));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => bytes.extend_from_slice(&data),
                Some(Ok(Err(other))) => trailers = other.into_trailers().ok(),
                Some(Err(_)) => return Seen::Broken(bytes.freeze()),
                None => break,
            }
        }
        Seen::Whole(Box::new(Reply {
            status: head.status,
            headers: head.headers,
            body: bytes.freeze(),
            trailers,
            took: started.elapsed(),
        }))
    }

    /// As [`Self::see`], for a GET.
    pub async fn see_get(&self, target: &str) -> Seen {
        self.see(self.request(Method::GET, target, whole(""))).await
    }
}
