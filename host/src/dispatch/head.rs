//! A request's head, for as many tries as it takes.

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use parking_lot::Mutex;

use crate::calls::TRACE;

/// The head of a request on its way. The first try gets it as it came. What is kept for others is a list
/// of its fields, which is made in a fraction of the time that a second map of them takes: most requests
/// are tried only once.
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target, absolute.
    pub uri: Uri,
    /// What its `Content-Length` says, if that can be read.
    pub length: Option<u64>,
    /// `traceparent` and `tracestate` (W3C Trace Context), if it has them.
    pub trace: [Option<HeaderValue>; 2],
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    first: Mutex<Option<Box<Parts>>>,
}

impl Head {
    /// The head as a guest is to see it.
    pub fn new(head: Box<Parts>) -> Self {
        let mut fields = Vec::with_capacity(head.headers.len());
        let (mut length, mut trace) = (None, [None, None]);
        for (name, value) in &head.headers {
            // in one look at each, where to look each up takes hashing its name
            if name == CONTENT_LENGTH {
                length = length.or_else(|| value.to_str().ok()?.parse().ok());
            } else if let Some(at) = TRACE.iter().position(|one| one == name) {
                trace[at].get_or_insert_with(|| value.clone());
            }
            fields.push((name.clone(), value.clone()));
        }
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            length,
            trace,
            version: head.version,
            fields,
            first: Mutex::new(Some(head)),
        }
    }

    /// The whole of it, for one try.
    pub fn give(&self) -> Box<Parts> {
        let first = self.first.lock().take();
        first.unwrap_or_else(|| Box::new(self.make()))
    }

    fn make(&self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        head.version = self.version;
        head.headers.extend(self.fields.iter().cloned());
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn head() -> Head {
        let request = Request::put("http://a.example/b?c")
            .version(Version::HTTP_11)
            .header("content-length", "12")
            .header("accept", "a/b")
            .header("x-own", "1")
            .header("accept", "c/d")
            .header("tracestate", "t=1");
        Head::new(Box::new(request.body(()).unwrap().into_parts().0))
    }

    #[test]
    fn each_try_is_given_the_same() {
        let head = head();
        let of = |parts: &Parts| {
            let target = (parts.method.clone(), parts.uri.clone(), parts.version);
            (target, parts.headers.clone())
        };
        let (first, second, third) = (head.give(), head.give(), head.give());
        assert_eq!(of(&first), of(&second));
        assert_eq!(of(&second), of(&third));
        let accept = |headers: &HeaderMap| {
            let values = headers.get_all("accept").iter().cloned();
            values.collect::<Vec<_>>()
        };
        assert_eq!(accept(&second.headers), ["a/b", "c/d"]);
    }

    #[test]
    fn what_the_host_looks_for_is_found() {
        let head = head();
        assert_eq!(head.length, Some(12));
        let state = head.trace[1].as_ref().map(HeaderValue::as_bytes);
        assert_eq!((head.trace[0].as_ref(), state), (None, Some(&b"t=1"[..])));
    }

    #[test]
    fn a_length_that_is_none_is_not_known() {
        let request = Request::get("/").header("content-length", "many");
        let head = Head::new(Box::new(request.body(()).unwrap().into_parts().0));
        assert_eq!(head.length, None);
    }
}
