//! A request's way to a new user.

use accounts_core::exchange;
use accounts_core::problem::Problem;
use http::header::LOCATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::bindings::wharf::accounts::users::{
    CreateError, Length, PasswordError, User, UsernameError,
};

const PATH: &str = "/register";

const CONTROL: &str = "must not contain control characters";

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Serialize)]
struct Created<'a> {
    username: &'a str,
}

/// Answers one request; `create` is the function of the service `accounts`.
pub(crate) async fn handle<B>(
    request: Request<B>,
    create: impl FnOnce(&str, &str) -> Result<User, CreateError>,
) -> Result<Response<Vec<u8>>, Problem>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    if request.uri().path() != PATH {
        return Err(Problem::not_found());
    }
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let credentials = exchange::credentials(request).await?;
    match create(&credentials.username, &credentials.password) {
        Ok(user) => created(&user),
        Err(error) => Err(refused(error)),
    }
}

fn created(user: &User) -> Result<Response<Vec<u8>>, Problem> {
    let username = &user.username;
    let mut response = exchange::json(StatusCode::CREATED, &Created { username })?;
    let location = format!("{PATH}/{}", utf8_percent_encode(username, RESERVED));
    let location = HeaderValue::try_from(location).map_err(|error| Problem::internal(&error))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

fn refused(error: CreateError) -> Problem {
    match error {
        CreateError::Username(error) => {
            let why = match error {
                UsernameError::Length(length) => wrong_length(length),
                UsernameError::ControlCharacter => CONTROL.to_owned(),
                UsernameError::ForbiddenCharacter(character) => format!(
                    "must not contain U+{:04X}; letters, digits and . _ - + @ are allowed",
                    u32::from(character)
                ),
                UsernameError::Beginning => "must begin with a letter or a digit".to_owned(),
            };
            Problem::invalid("username", format!("`username` {why}."))
        }
        CreateError::Password(error) => {
            let why = match error {
                PasswordError::Length(length) => wrong_length(length),
                PasswordError::ControlCharacter => CONTROL.to_owned(),
            };
            Problem::invalid("password", format!("`password` {why}."))
        }
        CreateError::Taken => Problem::conflict("This username is taken."),
        CreateError::Contended => Problem::contended(),
        CreateError::Failed => {
            Problem::internal(&"the service `accounts` failed to create a user; its log says why")
        }
    }
}

fn wrong_length(Length { least, most, given }: Length) -> String {
    format!("must have from {least} to {most} characters; it has {given}")
}

#[cfg(test)]
mod tests;
