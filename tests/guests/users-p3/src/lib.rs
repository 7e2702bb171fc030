//! A service with `async` functions for other services, which runs several of them at once.

use std::cell::Cell;

wit_bindgen::generate!({
    inline: "
        package wharf:users-p3;
        world users {
            export acme:accounts/directory@0.1.0;
        }
    ",
    path: "../wit/accounts",
    generate_all,
});

use acme::accounts::types::{Problem, Role, User};

struct Users;

export!(Users);

thread_local! {
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

impl exports::acme::accounts::directory::Guest for Users {
    async fn find(name: String, ages: Vec<(String, u32)>) -> Result<User, Problem> {
        let known = ages.into_iter().find(|(known, _)| *known == name);
        let (name, age) = known.ok_or(Problem::Unknown(name))?;
        Ok(User {
            name,
            age,
            tags: Vec::new(),
            role: Role::Member,
        })
    }

    /// `meet`: waits until two calls are in this instance, and says so.
    async fn act(how: String) -> String {
        match how.as_str() {
            "meet" => {
                RUNNING.set(RUNNING.get() + 1);
                while RUNNING.get() < 2 {
                    wasip3::clocks::monotonic_clock::wait_for(1_000_000).await;
                }
                "met".to_owned()
            }
            "trap" => std::process::abort(),
            _ => how,
        }
    }
}
