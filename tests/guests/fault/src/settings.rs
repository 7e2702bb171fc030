//! What the operator lets a guest see: configuration, environment, files, sockets, its log.

use serde_json::json;

use crate::answer::Answer;
use crate::query::Query;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package wharf:fault;
            world config {
                import wasi:config/store@0.2.0-rc.1;
            }
        ",
        path: "../wit/config",
        generate_all,
    });
}

use bindings::wasi::config::store::{Error, get, get_all};

/// `key`: the value of one setting; without it, all of them.
pub fn config(query: &Query, answer: Answer) {
    let found = match query.text("key") {
        Some(key) => get(key).map(|value| json!(value)),
        None => get_all().map(|pairs| json!(pairs)),
    };
    answer.json(&match found {
        Ok(value) => json!({ "ok": value }),
        Err(Error::Upstream(message)) => json!({ "error": format!("upstream: {message}") }),
        Err(Error::Io(message)) => json!({ "error": format!("io: {message}") }),
    });
}

/// The environment, as an object.
pub fn env(answer: Answer) {
    let pairs = std::env::vars().map(|(name, value)| (name, json!(value)));
    answer.json(&serde_json::Value::Object(pairs.collect()));
}

/// What of the file system there is to see: nothing, it is hoped.
pub fn files(answer: Answer) {
    answer.json(&json!({
        "root": std::fs::read_dir("/").is_ok(),
        "passwd": std::fs::read("/etc/passwd").is_ok(),
        "write": std::fs::write("here", "x").is_ok(),
    }));
}

/// `addr`: whether a raw socket gets through.
pub fn socket(query: &Query, answer: Answer) {
    let connected = std::net::TcpStream::connect(query.text_or_empty("addr")).is_ok();
    answer.json(&json!({ "connected": connected }));
}

/// `text`, `to=stdout|stderr`, `lines`, `repeat`: so many lines of the text, repeated so often.
pub fn log(query: &Query, answer: Answer) {
    let line = query
        .text_or_empty("text")
        .repeat(query.number::<usize>("repeat").max(1));
    for _ in 0..query.number::<u32>("lines").max(1) {
        match query.text("to") {
            Some("stderr") => eprintln!("{line}"),
            _ => println!("{line}"),
        }
    }
    answer.text("logged\n");
}
