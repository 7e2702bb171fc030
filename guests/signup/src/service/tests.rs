use std::cell::RefCell;
use std::collections::HashMap;

use http::response::Builder;
use http_body_util::Full;
use serde_json::json;

use super::*;

const CREDENTIALS: &str = r#"{"username":"ADA","password":"correct horse"}"#;

/// What the other services answer, and what they were asked.
#[derive(Default)]
struct Fake {
    answers: HashMap<&'static str, (Builder, String)>,
    asked: RefCell<Vec<(String, Request<Bytes>)>>,
}

impl Fake {
    /// Both do what they are asked to.
    fn new() -> Self {
        let created = Response::builder()
            .status(201)
            .header("location", "/register/Ada");
        let begun = json!({"token": "secret", "token_type": "Bearer", "expires_in": 3600});
        Self::default()
            .answering("register", created, json!({"username": "Ada"}))
            .answering("login", Response::builder(), begun)
    }

    fn answering(mut self, service: &'static str, head: Builder, body: Value) -> Self {
        let head = head.header("content-type", "application/json");
        self.answers.insert(service, (head, body.to_string()));
        self
    }

    /// With a service that refuses or fails, with this status.
    fn refusing(self, service: &'static str, status: u16, header: (&str, &str)) -> Self {
        let head = Response::builder()
            .status(status)
            .header(header.0, header.1)
            .header("content-length", "7")
            .header("x-internal", "yes");
        self.answering(service, head, json!({"detail": "Because."}))
    }

    fn without(mut self, service: &str) -> Self {
        self.answers.remove(service);
        self
    }

    fn send(&self, request: http::request::Builder, body: &str) -> Result<Response<Vec<u8>>, Problem> {
        let request = request.body(Full::new(body.as_bytes())).unwrap();
        pollster::block_on(handle(request, self))
    }

    fn sign_up(&self) -> Result<Response<Vec<u8>>, Problem> {
        let request = Request::post("/signup").header("content-type", "application/json");
        self.send(request, CREDENTIALS)
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        asked.iter().map(|(service, _)| service.clone()).collect()
    }
}

impl Services for Fake {
    type Body = Full<Bytes>;
    type Error = &'static str;

    async fn call(
        &self,
        service: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Full<Bytes>>, &'static str> {
        self.asked.borrow_mut().push((service.to_owned(), request));
        let (head, body) = self.answers.get(service).ok_or("no way there")?;
        let mut response = Response::new(Full::new(Bytes::from(body.clone())));
        *response.status_mut() = head.status().unwrap();
        *response.headers_mut() = head.headers_ref().unwrap().clone();
        Ok(response)
    }
}

trait Parts {
    fn status(&self) -> Option<StatusCode>;
}

fn body(response: &Response<Vec<u8>>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}
