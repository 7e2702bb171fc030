//! What the service does, wherever the users are kept.

use accounts_core::name::{self, Name, NameError};
use accounts_core::store::{Store, StoreError};
use thiserror::Error;

use crate::bindings::exports::wharf::accounts::users::{
    CreateError, Length, PasswordError, User, UsernameError, VerifyError,
};
use crate::password::{self, HashError, Password};
use crate::users;

/// The service couldn't do its part. Why is for the operator's log; a caller is told no more than
/// what it can do about it.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The store didn't do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password could not be hashed or verified.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// Creates a user; `now` is in Unix seconds.
pub(crate) fn create(
    store: &impl Store,
    username: &str,
    password: &str,
    now: u64,
) -> Result<Result<User, CreateError>, Failure> {
    let name = match Name::parse(username) {
        Ok(name) => name,
        Err(error) => return Ok(Err(CreateError::Username(error.into()))),
    };
    let password = match Password::chosen(password) {
        Ok(password) => password,
        Err(error) => return Ok(Err(CreateError::Password(error.into()))),
    };
    // What decides is the creation. Looking first spares most of the refused the hashing.
    if users::exists(store, &name)? || !users::create(store, &name, password.hash()?, now)? {
        return Ok(Err(CreateError::Taken));
    }
    Ok(Ok(User {
        username: name.spelling().to_owned(),
    }))
}

/// Finds the user with this name and password. It takes the same time whether the password is wrong
/// or there is no such user; a name that nobody can have is one that nobody has.
pub(crate) fn verify(
    store: &impl Store,
    username: &str,
    password: &str,
) -> Result<Result<User, VerifyError>, Failure> {
    let password = Password::presented(password);
    let user = match Name::parse(username) {
        Ok(name) => users::find(store, &name)?,
        Err(_) => None,
    };
    let right = password.verify(user.as_ref().map(|user| user.password.as_str()))?;
    let user = user.filter(|_| right).map(|user| User {
        username: user.username,
    });
    Ok(user.ok_or(VerifyError::Wrong))
}

impl From<NameError> for UsernameError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Length { characters } => Self::Length(length(
                name::MIN_CHARACTERS,
                name::MAX_CHARACTERS,
                characters,
            )),
            NameError::Control => Self::ControlCharacter,
            NameError::Forbidden { character } => Self::ForbiddenCharacter(character),
            NameError::Beginning => Self::Beginning,
        }
    }
}

impl From<password::PasswordError> for PasswordError {
    fn from(error: password::PasswordError) -> Self {
        match error {
            password::PasswordError::Length { characters } => Self::Length(length(
                password::MIN_CHARACTERS,
                password::MAX_CHARACTERS,
                characters,
            )),
            password::PasswordError::Control => Self::ControlCharacter,
        }
    }
}

impl From<Failure> for CreateError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(StoreError::Contended) => Self::Contended,
            Failure::Store(_) | Failure::Hash(_) => Self::Failed,
        }
    }
}

impl From<Failure> for VerifyError {
    fn from(_: Failure) -> Self {
        Self::Failed
    }
}

fn length(least: usize, most: usize, given: usize) -> Length {
    let [least, most, given] =
        [least, most, given].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    Length { least, most, given }
}

#[cfg(test)]
mod tests;
