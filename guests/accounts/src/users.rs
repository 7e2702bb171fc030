//! Users: one record each, under the folded name.

use serde::{Deserialize, Serialize};

use accounts_core::name::Name;
use accounts_core::store::{Store, StoreError};

const PREFIX: &str = "user/";

/// A user as stored. Unknown members are read over, so that a release that is rolled back can
/// still read what its successor wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// The name as its owner spells it.
    pub(crate) username: String,
    /// The password's hash, a PHC string.
    pub(crate) password: String,
    /// When the user registered, in Unix seconds.
    pub(crate) created_at: u64,
}

/// Whether somebody has this name already, in whatever spelling.
pub(crate) fn exists(store: &impl Store, name: &Name) -> Result<bool, StoreError> {
    Ok(store.get(&key(name))?.is_some())
}

/// The user with this name.
pub(crate) fn find(store: &impl Store, name: &Name) -> Result<Option<User>, StoreError> {
    let Some(value) = store.get(&key(name))? else {
        return Ok(None);
    };
    let user = serde_json::from_slice(&value).map_err(|error| StoreError::Damaged {
        prefix: PREFIX,
        reason: error.to_string(),
    })?;
    Ok(Some(user))
}

/// Creates a user with the password hash `password`, if the name is free, and says whether it was:
/// one atomic step.
pub(crate) fn create(
    store: &impl Store,
    name: &Name,
    password: String,
    now: u64,
) -> Result<bool, StoreError> {
    let user = User {
        username: name.spelling().to_owned(),
        password,
        created_at: now,
    };
    let value = serde_json::to_vec(&user).map_err(|error| StoreError::Other(error.to_string()))?;
    store.create(&key(name), &value)
}

fn key(name: &Name) -> String {
    format!("{PREFIX}{}", name.key())
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts_core::memory::MemoryStore;

    fn name(typed: &str) -> Name {
        Name::parse(typed).unwrap()
    }

    #[test]
    fn a_user_is_found_under_every_spelling() {
        let store = MemoryStore::default();
        assert!(create(&store, &name("Straße"), "$hash".to_owned(), 7).unwrap());
        let user = find(&store, &name("STRASSE")).unwrap().unwrap();
        assert_eq!(user.username, "Straße");
        assert_eq!(user.created_at, 7);
        assert!(exists(&store, &name("strasse")).unwrap());
        assert_eq!(find(&store, &name("strauss")).unwrap(), None);
    }

    #[test]
    fn a_second_user_with_the_name_is_refused_and_changes_nothing() {
        let store = MemoryStore::default();
        assert!(create(&store, &name("alice"), "$first".to_owned(), 1).unwrap());
        assert!(!create(&store, &name("ALICE"), "$second".to_owned(), 2).unwrap());
        assert_eq!(
            find(&store, &name("alice")).unwrap().unwrap().password,
            "$first"
        );
    }

    #[test]
    fn of_two_at_the_same_time_one_gets_the_name() {
        let store = MemoryStore::default();
        store.before_next_swap(|store| {
            assert!(create(store, &name("Alice"), "$faster".to_owned(), 1).unwrap());
        });
        assert!(!create(&store, &name("alice"), "$slower".to_owned(), 1).unwrap());
        assert_eq!(
            find(&store, &name("alice")).unwrap().unwrap().password,
            "$faster"
        );
    }
}
