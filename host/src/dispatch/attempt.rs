//! One try of a piece of work, as an instance gets it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{AttemptError, Effects, Head, RequestId};
use crate::body::{Body, ReplayBody};
use crate::service::lane::Lane;
use crate::service::lease::Lease;

/// What a try is of, without anything that may be secret: `METHOD /path` without the query, or
/// `call INTERFACE.FUNCTION` without the parameters.
#[derive(Clone, Debug)]
pub struct Line(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Http {
        method: Method,
        target: Option<PathAndQuery>,
    },
    Call {
        interface: Arc<str>,
        function: Arc<str>,
    },
}

impl Line {
    /// The line of a request with this head.
    pub fn new(head: &Head) -> Self {
        Self(Kind::Http {
            method: head.method.clone(),
            target: head.uri.path_and_query().cloned(),
        })
    }

    /// The line of a call of an exported function.
    pub fn call(interface: &Arc<str>, function: &Arc<str>) -> Self {
        Self(Kind::Call {
            interface: Arc::clone(interface),
            function: Arc::clone(function),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Http { method, target } => {
                let path = target.as_ref().map_or("/", PathAndQuery::path);
                write!(f, "{method} {path}")
            }
            Kind::Call {
                interface,
                function,
            } => write!(f, "call {interface}.{function}"),
        }
    }
}

/// One try of a job.
pub struct Attempt {
    /// What is to be done.
    pub work: Work,
    /// What is known of it beside that.
    pub particulars: Box<Particulars>,
}

/// What is known of a try, beside the work itself.
pub struct Particulars {
    /// Names the request that it is, or is part of.
    pub id: RequestId,
    /// What it is, for exit records.
    pub line: Line,
    /// When it must be over.
    pub deadline: Instant,
    /// The number of this try; 1 for the first.
    pub tries: u32,
    /// Requests like this one have ended an instance before.
    pub suspect: bool,
    /// How many calls from service to service led here; 0 for a request from outside.
    pub depth: u8,
    /// The share of all requests that the one from outside belongs to.
    pub lane: Lane,
    /// Where this try's effects are recorded.
    pub effects: Arc<Effects>,
    /// The place in the instance; held until its work for this try is done.
    pub lease: Arc<Lease>,
}

/// What an instance is to do, and where the answer goes.
pub enum Work {
    /// To answer a request.
    Http(Exchange),
    /// To run a function that it exports.
    Call(Box<dyn Message>),
}

/// A request and its answer.
pub struct Exchange {
    /// Its head.
    pub head: Box<Parts>,
    /// Its body, for this try.
    pub reader: Body,
    /// Its body as the client sends it, to tell whom to blame.
    pub body: ReplayBody,
    /// `traceparent` and `tracestate` (W3C Trace Context), if it has any.
    pub trace: Option<Box<[Option<HeaderValue>; 2]>>,
    /// Where the answer goes.
    pub reply: Reply,
}

/// The answer to a request. It comes a long way, and is large.
pub type Answer = Box<Response<Body>>;

/// The answering end of a request.
pub type Reply = oneshot::Sender<Result<Answer, AttemptError>>;

/// A call of a function, in terms of whoever runs instances.
pub trait Message: Any + Send {
    /// Says that the try brought nothing.
    fn fail(self: Box<Self>, error: AttemptError);

    /// Whether whoever called has gone.
    fn is_unwanted(&self) -> bool;
}

impl Work {
    /// Says that the try brought nothing.
    pub fn fail(self, error: AttemptError) {
        match self {
            // nobody may be listening any more
            Self::Http(Exchange { reply, .. }) => drop(reply.send(Err(error))),
            Self::Call(message) => message.fail(error),
        }
    }

    /// Whether whoever asked has gone.
    pub fn is_unwanted(&self) -> bool {
        match self {
            Self::Http(Exchange { reply, .. }) => reply.is_closed(),
            Self::Call(message) => message.is_unwanted(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_line_tells_no_secrets() {
        let request = Request::post("http://a/b/c?key=secret").body(()).unwrap();
        let head = Head::new(Box::new(request.into_parts().0));
        let line = Line::new(&head);
        assert_eq!(line.to_string(), "POST /b/c");
        let line = Line::call(&"a:b/c@0.1.0".into(), &"find".into());
        assert_eq!(line.to_string(), "call a:b/c@0.1.0.find");
    }
}
