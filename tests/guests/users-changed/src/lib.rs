//! A new release of `users` whose author changed a field's type and kept the version.

wit_bindgen::generate!({
    inline: "
        package acme:accounts@0.1.0;
        interface users {
            enum role { member, admin }
            record user { name: string, age: u64, tags: list<string>, role: role }
            variant problem { empty, unknown(string) }
            find: func(name: string, ages: list<tuple<string, u32>>) -> result<user, problem>;
            act: func(how: string) -> string;
        }
        world changed {
            export users;
        }
    ",
});

use exports::acme::accounts::users::{Guest, Problem, User};

struct Changed;

export!(Changed);

impl Guest for Changed {
    fn find(_name: String, _ages: Vec<(String, u32)>) -> Result<User, Problem> {
        Err(Problem::Empty)
    }

    fn act(how: String) -> String {
        how
    }
}
