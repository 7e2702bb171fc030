//! Passwords: which are allowed, and how they are hashed and verified.

use std::fmt;

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use icu_normalizer::ComposingNormalizerBorrowed;
use thiserror::Error;
use zeroize::Zeroizing;

/// The fewest characters of a password.
pub(crate) const MIN_CHARACTERS: usize = 8;
/// The most characters of a password.
pub(crate) const MAX_CHARACTERS: usize = 128;

/// Argon2's memory, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Argon2's passes over that memory.
const PASSES: u32 = 2;
/// Argon2's lanes; an instance has one thread.
const LANES: u32 = 1;

/// What a password is verified against when nobody has the name, so that the answer takes the
/// same time. Salt and hash are random bytes: no password is known for it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    Ybo675EpdA7YJWpUCDkllg$oRCZ44MkYYQV/XCe+i8gFyxE2ML2dT+ZesACLIej79Y";

/// A password as it is hashed: in Unicode's normalization form NFC (RFC 8265, section 4.2), so
/// that it is the same from every keyboard. It is wiped from memory when dropped.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// A password that somebody wants to have from now on.
    pub(crate) fn chosen(typed: &str) -> Result<Self, PasswordError> {
        if typed.chars().any(char::is_control) {
            return Err(PasswordError::Control);
        }
        let password = Self::presented(typed);
        let characters = password.0.chars().count();
        if !(MIN_CHARACTERS..=MAX_CHARACTERS).contains(&characters) {
            return Err(PasswordError::Length { characters });
        }
        Ok(password)
    }

    /// A password that somebody claims to have. It need not follow the rules: what they were when
    /// the user registered is not known here.
    pub(crate) fn presented(typed: &str) -> Self {
        let normalized = ComposingNormalizerBorrowed::new_nfc().normalize(typed);
        Self(Zeroizing::new(normalized.into_owned()))
    }

    /// Hashes the password with a new salt, into a PHC string.
    pub(crate) fn hash(&self) -> Result<String, HashError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(HashError::Random)?;
        let hash = argon2id()?.hash_password_with_salt(self.0.as_bytes(), &salt)?;
        Ok(hash.to_string())
    }

    /// Whether the password is the one that `hash` was made of. `None` stands for the hash of a
    /// user that doesn't exist: the answer is no, and takes as long as any other.
    pub(crate) fn verify(&self, hash: Option<&str>) -> Result<bool, HashError> {
        match argon2id()?.verify_password(self.0.as_bytes(), hash.unwrap_or(NOBODY)) {
            Ok(()) => Ok(hash.is_some()),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

fn argon2id() -> Result<Argon2<'static>, HashError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(password_hash::Error::from)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordError {
    /// Fewer than [`MIN_CHARACTERS`], or more than [`MAX_CHARACTERS`].
    Length {
        /// How many there are.
        characters: usize,
    },
    /// There is a control character in it.
    Control,
}

/// Why a password could not be hashed or verified.
#[derive(Debug, Error)]
pub(crate) enum HashError {
    /// The host has no random bytes.
    #[error("no randomness for a salt: {0}")]
    Random(getrandom::Error),
    /// Argon2 failed, or a stored hash is not a PHC string.
    #[error("argon2 failed: {0}")]
    Argon2(#[from] password_hash::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::phc::PasswordHash;
    use proptest::prelude::*;

    #[test]
    fn a_hash_is_verified_by_its_password_only() {
        let hash = Password::chosen("correct horse").unwrap().hash().unwrap();
        assert!(
            Password::presented("correct horse")
                .verify(Some(&hash))
                .unwrap()
        );
        assert!(
            !Password::presented("correct horsf")
                .verify(Some(&hash))
                .unwrap()
        );
        assert!(!Password::presented("").verify(Some(&hash)).unwrap());
        assert!(!hash.contains("correct"));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let password = Password::chosen("correct horse").unwrap();
        assert_ne!(password.hash().unwrap(), password.hash().unwrap());
    }

    #[test]
    fn nobodys_hash_costs_what_a_users_does_and_matches_nothing() {
        let user = Password::chosen("correct horse").unwrap().hash().unwrap();
        let (user, nobody) = (
            PasswordHash::new(&user).unwrap(),
            PasswordHash::new(NOBODY).unwrap(),
        );
        assert_eq!(user.algorithm, nobody.algorithm);
        assert_eq!(user.version, nobody.version);
        assert_eq!(user.params, nobody.params);
        assert_eq!(user.salt.unwrap().len(), nobody.salt.unwrap().len());
        assert_eq!(user.hash.unwrap().len(), nobody.hash.unwrap().len());
        assert!(!Password::presented("correct horse").verify(None).unwrap());
    }

    #[test]
    fn the_phc_string_names_the_parameters() {
        let hash = Password::chosen("correct horse").unwrap().hash().unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
    }

    #[test]
    fn a_password_is_the_same_from_every_keyboard() {
        let hash = Password::chosen("pa\u{df}w\u{f6}rter")
            .unwrap()
            .hash()
            .unwrap();
        assert!(
            Password::presented("pa\u{df}wo\u{308}rter")
                .verify(Some(&hash))
                .unwrap()
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(Password::chosen(&"😀".repeat(8)).is_ok());
        assert!(Password::chosen(&"😀".repeat(128)).is_ok());
        let refused = |typed: &str| Password::chosen(typed).unwrap_err();
        assert_eq!(
            refused(&"😀".repeat(7)),
            PasswordError::Length { characters: 7 }
        );
        assert_eq!(
            refused(&"a".repeat(129)),
            PasswordError::Length { characters: 129 }
        );
        assert_eq!(refused("tab\tinside"), PasswordError::Control);
    }

    #[test]
    fn a_stored_hash_that_is_none_is_an_error_and_no_mismatch() {
        assert!(
            Password::presented("correct horse")
                .verify(Some("not a hash"))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_input_gets_past_the_rules(typed in any::<String>()) {
            if let Ok(password) = Password::chosen(&typed) {
                let characters = password.0.chars().count();
                prop_assert!((MIN_CHARACTERS..=MAX_CHARACTERS).contains(&characters));
                prop_assert!(!password.0.chars().any(char::is_control));
            }
        }

        #[test]
        fn printable_passwords_are_accepted(typed in "[ -~]{8,128}") {
            prop_assert!(Password::chosen(&typed).is_ok());
        }
    }
}
