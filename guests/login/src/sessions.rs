//! Sessions: who a bearer token stands for, and until when.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use accounts_core::store::{Store, StoreError};

const PREFIX: &str = "session/";
const TOKEN_BYTES: usize = 32;

/// A bearer token: 256 random bits. Only its SHA-256 is ever stored; that is enough for bits that
/// can't be guessed, and what is in the store opens no session.
pub(crate) struct Token(Zeroizing<[u8; TOKEN_BYTES]>);

impl Token {
    /// A new token.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// Reads a token as a client presents it; `None` if it can't be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        let length = Base64UrlUnpadded::decode(text, bytes.as_mut()).ok()?.len();
        (length == TOKEN_BYTES).then_some(Self(bytes))
    }

    /// The token as it is given to its owner: base64url (RFC 4648, section 5) without padding.
    pub(crate) fn reveal(&self) -> String {
        Base64UrlUnpadded::encode_string(self.0.as_ref())
    }

    fn key(&self) -> String {
        let digest = Sha256::digest(self.0.as_ref());
        format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&digest))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A session as stored. Unknown members are read over, so that a release that is rolled back can
/// still read what its successor wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The user's name as its owner spells it.
    pub(crate) username: String,
    /// The first moment at which the session is over, in Unix seconds.
    pub(crate) expires_at: u64,
}

/// Begins the session that `token` stands for.
pub(crate) fn begin(
    store: &impl Store,
    token: &Token,
    session: &Session,
) -> Result<(), StoreError> {
    let value =
        serde_json::to_vec(session).map_err(|error| StoreError::Other(error.to_string()))?;
    store.set(&token.key(), &value)
}

/// The session that `token` stands for, if it is not over at `now`. One that is gets removed.
pub(crate) fn find(
    store: &impl Store,
    token: &Token,
    now: u64,
) -> Result<Option<Session>, StoreError> {
    let Some(value) = store.get(&token.key())? else {
        return Ok(None);
    };
    let session: Session = serde_json::from_slice(&value).map_err(|error| StoreError::Damaged {
        prefix: PREFIX,
        reason: error.to_string(),
    })?;
    if session.expires_at <= now {
        end(store, token)?;
        return Ok(None);
    }
    Ok(Some(session))
}

/// Ends the session that `token` stands for, if there is one.
pub(crate) fn end(store: &impl Store, token: &Token) -> Result<(), StoreError> {
    store.delete(&token.key())
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts_core::memory::MemoryStore;

    fn alice_until(expires_at: u64) -> Session {
        Session {
            username: "Alice".to_owned(),
            expires_at,
        }
    }

    #[test]
    fn a_token_opens_its_session_until_it_expires() {
        let store = MemoryStore::default();
        let token = Token::random().unwrap();
        begin(&store, &token, &alice_until(100)).unwrap();
        assert_eq!(find(&store, &token, 99).unwrap(), Some(alice_until(100)));
        assert_eq!(find(&store, &token, 100).unwrap(), None);
        assert_eq!(
            store.dump(),
            [],
            "an expired session is removed when it is seen"
        );
    }

    #[test]
    fn a_session_that_was_ended_is_gone() {
        let store = MemoryStore::default();
        let token = Token::random().unwrap();
        begin(&store, &token, &alice_until(100)).unwrap();
        end(&store, &token).unwrap();
        assert_eq!(find(&store, &token, 1).unwrap(), None);
    }

    #[test]
    fn another_token_opens_nothing() {
        let store = MemoryStore::default();
        begin(&store, &Token::random().unwrap(), &alice_until(100)).unwrap();
        assert_eq!(find(&store, &Token::random().unwrap(), 1).unwrap(), None);
    }

    #[test]
    fn the_token_itself_is_not_stored() {
        let store = MemoryStore::default();
        let token = Token::random().unwrap();
        begin(&store, &token, &alice_until(100)).unwrap();
        for (key, value) in store.dump() {
            assert!(!key.contains(&token.reveal()));
            assert!(!String::from_utf8(value).unwrap().contains(&token.reveal()));
        }
    }

    #[test]
    fn only_what_was_revealed_is_a_token() {
        let text = Token::random().unwrap().reveal();
        assert_eq!(text.len(), 43);
        assert_eq!(Token::parse(&text).unwrap().reveal(), text);
        for wrong in [
            "",
            "abc",
            &text[..42],
            &format!("{text}A"),
            &format!("{text}="),
            &"+".repeat(43),
        ] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }
}
