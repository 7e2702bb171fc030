//! A service that has functions for other services, and no HTTP handler.

use std::cell::Cell;
use std::time::Duration;

wit_bindgen::generate!({
    inline: "
        package wharf:users;
        world users {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            export acme:accounts/users@0.1.0;
        }
    ",
    path: ["../wit/accounts", "../wit/keyvalue-draft2"],
    generate_all,
});

use acme::accounts::types::{Problem, Role, User};
use wasi::keyvalue::{atomics, store};

struct Users;

export!(Users);

thread_local! {
    static INSTANCE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What tells this instance from the others: random, chosen at its first call.
fn instance() -> String {
    let id = INSTANCE
        .get()
        .unwrap_or_else(wasip2::random::random::get_random_u64);
    INSTANCE.set(Some(id));
    format!("{id:016x}")
}

impl exports::acme::accounts::users::Guest for Users {
    fn find(name: String, ages: Vec<(String, u32)>) -> Result<User, Problem> {
        if name.is_empty() {
            return Err(Problem::Empty);
        }
        match ages.into_iter().find(|(known, _)| *known == name) {
            Some((name, age)) => Ok(User {
                tags: vec![format!("{name}s"), String::new(), "é\0".to_owned()],
                role: if age < 18 { Role::Member } else { Role::Admin },
                name,
                age,
            }),
            None => Err(Problem::Unknown(name)),
        }
    }

    /// `WHAT` or `WHAT:DETAIL`.
    fn act(how: String) -> String {
        let (what, detail) = how.split_once(':').unwrap_or((&how, ""));
        match what {
            "instance" => {}
            "trap" => {
                if detail.is_empty() || detail == instance() {
                    trap_as_asked();
                }
            }
            "write-then-trap" => {
                increment(detail);
                trap_as_asked();
            }
            "write" => increment(detail),
            "sleep" => std::thread::sleep(Duration::from_millis(number(detail))),
            "big" => return "x".repeat(usize::try_from(number(detail)).unwrap_or_default()),
            _ => return format!("there is no {what}"),
        }
        instance()
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

fn increment(key: &str) {
    let bucket = store::open("counts").expect("the test grants the bucket");
    atomics::increment(&bucket, key, 1).expect("the test grants the bucket");
}

#[inline(never)]
fn trap_as_asked() -> ! {
    std::process::abort()
}
