//! The service `accounts`: it owns the users, and does for other services what can be done with them.
//!
//! They call the functions of `wharf:accounts/users`; it has no HTTP handler. A password comes in with
//! a call and never leaves: what is kept is its Argon2id hash, and neither goes to a caller.
//!
//! Its bucket holds, in JSON:
//!
//! | key | value |
//! |---|---|
//! | `user/NAME`, NAME folded | a user's name, hash, and when they registered |

#[cfg(any(test, target_family = "wasm"))]
mod bindings;
#[cfg(any(test, target_family = "wasm"))]
mod password;
#[cfg(any(test, target_family = "wasm"))]
mod service;
#[cfg(any(test, target_family = "wasm"))]
mod users;

#[cfg(target_family = "wasm")]
mod component {
    use accounts_core::wasi::{self, Bucket};
    use zeroize::Zeroizing;

    use super::bindings::exports::wharf::accounts::users::{CreateError, Guest, User, VerifyError};
    use super::service::{self, Failure};

    struct Accounts;

    #[expect(unsafe_code, reason = "generated")]
    mod export {
        use super::Accounts;
        use crate::bindings;

        bindings::export!(Accounts with_types_in bindings);
    }

    impl Guest for Accounts {
        fn create(username: String, password: String) -> Result<User, CreateError> {
            let password = Zeroizing::new(password);
            service::create(&bucket(), &username, &password, wasi::now())
                .unwrap_or_else(|failure| Err(logged(failure).into()))
        }

        fn verify(username: String, password: String) -> Result<User, VerifyError> {
            let password = Zeroizing::new(password);
            service::verify(&bucket(), &username, &password)
                .unwrap_or_else(|failure| Err(logged(failure).into()))
        }
    }

    fn bucket() -> Bucket {
        Bucket::new("accounts")
    }

    fn logged(failure: Failure) -> Failure {
        eprintln!("{failure}");
        failure
    }
}
