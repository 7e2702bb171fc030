use accounts_core::memory::MemoryStore;

use super::*;

fn add(store: &MemoryStore, username: &str, password: &str) -> Result<User, CreateError> {
    create(store, username, password, 1000).unwrap()
}

fn check(store: &MemoryStore, username: &str, password: &str) -> Result<User, VerifyError> {
    verify(store, username, password).unwrap()
}

fn user(username: &str) -> User {
    User {
        username: username.to_owned(),
    }
}

#[test]
fn a_new_user_is_known_by_name_and_password() {
    let store = MemoryStore::default();
    assert_eq!(add(&store, "Jürgen", "correct horse"), Ok(user("Jürgen")));
    assert_eq!(check(&store, "JÜRGEN", "correct horse"), Ok(user("Jürgen")));
}

#[test]
fn a_wrong_password_an_unknown_name_and_an_impossible_one_are_all_the_same() {
    let store = MemoryStore::default();
    add(&store, "Alice", "correct horse").unwrap();
    for (username, password) in [
        ("Alice", "wrong horse"),
        ("nobody", "correct horse"),
        ("\0", "x"),
        ("", ""),
    ] {
        let checked = check(&store, username, password);
        assert_eq!(checked, Err(VerifyError::Wrong), "{username:?}");
    }
}

#[test]
fn a_taken_name_is_refused_in_every_spelling() {
    let store = MemoryStore::default();
    add(&store, "Straße", "correct horse").unwrap();
    for name in ["Straße", "STRASSE", "strasse", "ｓｔｒａｓｓｅ"] {
        let added = add(&store, name, "other horse");
        assert_eq!(added, Err(CreateError::Taken), "{name}");
    }
    assert_eq!(store.dump().len(), 1);
}

#[test]
fn of_two_at_the_same_time_one_is_created() {
    let store = MemoryStore::default();
    store.before_next_swap(|store| {
        add(store, "alice", "faster horse").unwrap();
    });
    let slower = add(&store, "Alice", "slower horse");
    assert_eq!(slower, Err(CreateError::Taken));
    assert_eq!(store.dump().len(), 1);
    assert_eq!(check(&store, "alice", "faster horse"), Ok(user("alice")));
}

#[test]
fn the_password_is_stored_as_an_argon2id_hash_only() {
    let store = MemoryStore::default();
    add(&store, "alice", "correct horse").unwrap();
    let (key, value) = store.dump().remove(0);
    let value = String::from_utf8(value).unwrap();
    assert_eq!(key, "user/alice");
    assert!(!value.contains("correct"), "{value}");
    assert!(value.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{value}");
}

#[test]
fn what_is_wrong_is_told_exactly() {
    use CreateError::{Password, Username};
    let store = MemoryStore::default();
    let length = |least, most, given| Length { least, most, given };
    let name_length = |given| Username(UsernameError::Length(length(3, 32, given)));
    let password_length = |given| Password(PasswordError::Length(length(8, 128, given)));
    let good = "correct horse";
    for (username, password, error) in [
        ("al", good, name_length(2)),
        (&"a".repeat(5000), good, name_length(5000)),
        ("alice\n", good, Username(UsernameError::ControlCharacter)),
        (
            "al/ice",
            good,
            Username(UsernameError::ForbiddenCharacter('/')),
        ),
        ("-alice", good, Username(UsernameError::Beginning)),
        ("alice", "short", password_length(5)),
        (
            "alice",
            "correct\0horse",
            Password(PasswordError::ControlCharacter),
        ),
        // the first of two
        ("al", "short", name_length(2)),
    ] {
        assert_eq!(add(&store, username, password), Err(error));
    }
    assert!(store.dump().is_empty());
}

#[test]
fn a_damaged_user_is_a_failure_and_no_wrong_password() {
    let store = MemoryStore::default();
    store.set("user/alice", b"{").unwrap();
    let failure = verify(&store, "alice", "correct horse").unwrap_err();
    assert!(failure.to_string().contains("`user/`"), "{failure}");
    assert_eq!(VerifyError::from(failure), VerifyError::Failed);
}

#[test]
fn a_caller_is_told_what_it_can_do_about_a_failure() {
    let of = |error: StoreError| CreateError::from(Failure::from(error));
    assert_eq!(of(StoreError::Contended), CreateError::Contended);
    let other = StoreError::Other("disk on fire".to_owned());
    assert_eq!(of(other), CreateError::Failed);
}
