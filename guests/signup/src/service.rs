//! A request's way through the two services.

use std::fmt::Display;

use accounts_core::exchange;
use accounts_core::problem::Problem;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const PATH: &str = "/signup";

/// The member that says that there is a user now.
const REGISTERED: &str = "registered";

const REGISTER: Called = Called {
    name: "register",
    path: "/register",
    done: StatusCode::CREATED,
};

const LOGIN: Called = Called {
    name: "login",
    path: "/login",
    done: StatusCode::OK,
};

/// The way to other services.
pub(crate) trait Services {
    /// An answer's body.
    type Body: Body<Error: Display>;
    /// Why there is no answer.
    type Error: Display;

    /// Has a service answer a request, whose URI is a path.
    async fn call(
        &self,
        service: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Self::Body>, Self::Error>;
}

/// What `register` answers.
#[derive(Deserialize)]
struct Registered {
    username: String,
}

/// What `login` answers.
#[derive(Serialize, Deserialize)]
struct Session {
    token: String,
    token_type: String,
    expires_in: u64,
}

#[derive(Serialize)]
struct SignedUp {
    username: String,
    #[serde(flatten)]
    session: Session,
}

/// Answers one request.
pub(crate) async fn handle<B>(
    request: Request<B>,
    services: &impl Services,
) -> Result<Response<Vec<u8>>, Problem>
where
    B: Body,
    B::Error: Display,
{
    if request.uri().path() != PATH {
        return Err(Problem::not_found());
    }
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    // Both read the same bytes, so that who logs in is who was registered; what is wrong with them
    // is for `register` to say.
    let credentials = Bytes::from_owner(exchange::document(request).await?);
    let answer = REGISTER.ask::<Registered>(services, credentials.clone());
    let (user, headers) = match answer.await.map_err(Failure::during_registration)? {
        Answer::Done(user, headers) => (user, headers),
        Answer::Refused(refusal) => return Ok(refusal),
    };
    let answer = LOGIN.ask::<Session>(services, credentials);
    let session = match answer.await.map_err(Failure::after_registration)? {
        Answer::Done(session, _) => session,
        Answer::Refused(refusal) => return Ok(refusal.map(registered)),
    };
    let username = user.username;
    let mut response = exchange::json(StatusCode::CREATED, &SignedUp { username, session })?;
    copy(&headers, response.headers_mut(), &[LOCATION]);
    Ok(response)
}

/// A refusal's document, which also says that there is a user now: whoever is refused here has to
/// log in next, not to sign up again.
fn registered(document: Vec<u8>) -> Vec<u8> {
    let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(&document) else {
        return document;
    };
    members.insert(REGISTERED.to_owned(), true.into());
    serde_json::to_vec(&members).unwrap_or(document)
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, fields: &[http::HeaderName]) {
    for field in fields {
        if let Some(value) = from.get(field) {
            to.insert(field, value.clone());
        }
    }
}

/// A service that is called, and how.
struct Called {
    name: &'static str,
    path: &'static str,
    /// What it answers when it has done what it was asked to.
    done: StatusCode,
}

/// What came of a call.
enum Answer<T> {
    /// The service has done it.
    Done(T, HeaderMap),
    /// It won't, for a reason that is the client's, as the client is to see it.
    Refused(Response<Vec<u8>>),
}

impl Called {
    async fn ask<T: DeserializeOwned>(
        &self,
        services: &impl Services,
        credentials: Bytes,
    ) -> Result<Answer<T>, Failure> {
        let request = Request::post(self.path)
            .header(CONTENT_TYPE, "application/json")
            .body(credentials);
        let request = request.map_err(|error| self.unreachable(&error))?;
        let response = services.call(self.name, request).await;
        let (head, body) = response
            .map_err(|error| self.unreachable(&error))?
            .into_parts();
        let failed = |why: &dyn Display| Failure {
            unavailable: head.status == StatusCode::SERVICE_UNAVAILABLE,
            retry_after: head.headers.get(RETRY_AFTER).cloned(),
            ..self.failed(format!("answered {}{why}", head.status))
        };
        if head.status != self.done && !is_refusal(head.status) {
            return Err(failed(&""));
        }
        let body = exchange::read(&head.headers, body).await;
        let mut body = body.map_err(|error| failed(&format_args!(", but {error}")))?;
        if head.status == self.done {
            let answer = serde_json::from_slice(&body);
            let answer = answer
                .map_err(|error| failed(&format_args!(", but not in its usual form: {error}")))?;
            return Ok(Answer::Done(answer, head.headers));
        }
        let mut refusal = Response::new(std::mem::take(&mut *body));
        *refusal.status_mut() = head.status;
        let fields = [CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE];
        copy(&head.headers, refusal.headers_mut(), &fields);
        Ok(Answer::Refused(refusal))
    }

    fn unreachable(&self, why: &dyn Display) -> Failure {
        Failure {
            unavailable: true,
            ..self.failed(format!("can't be reached: {why:#}"))
        }
    }

    fn failed(&self, what: String) -> Failure {
        Failure {
            service: self.name,
            what,
            unavailable: false,
            retry_after: None,
        }
    }
}

/// Whether that is about what the client sent. That there is nothing at a path, or not with that
/// method, is about the call.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::NOT_FOUND
        && status != StatusCode::METHOD_NOT_ALLOWED
}

/// A service has not done its part, and it isn't the client's fault.
struct Failure {
    service: &'static str,
    what: String,
    unavailable: bool,
    retry_after: Option<HeaderValue>,
}

impl Failure {
    /// It was to register.
    fn during_registration(self) -> Problem {
        let service = self.service;
        if !self.unavailable {
            let detail = format!(
                "The service `{service}` failed, and whether you are registered is not known. Try again; if the username is taken then, log in."
            );
            return self.problem(StatusCode::BAD_GATEWAY, detail);
        }
        let detail = format!("The service `{service}` is not available. Try again later.");
        let problem = self.problem(StatusCode::SERVICE_UNAVAILABLE, detail);
        match self.retry_after {
            Some(value) => problem.with(RETRY_AFTER, value),
            None => problem,
        }
    }

    /// It was to log in who is registered by now. Never 503: that invites to send the request
    /// again, which would find the name taken.
    fn after_registration(self) -> Problem {
        let service = self.service;
        let detail =
            format!("You are registered, but the service `{service}` failed. Log in later.");
        self.problem(StatusCode::BAD_GATEWAY, detail)
            .member(REGISTERED, true)
    }

    fn problem(&self, status: StatusCode, detail: String) -> Problem {
        let Self { service, what, .. } = self;
        Problem::new(status, detail)
            .member("service", *service)
            .caused_by(&format_args!("the service `{service}` {what}"))
    }
}

#[cfg(test)]
mod tests;
