//! Every operation of `wasi:keyvalue` 0.2.0-draft2, one to a request.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::query::Query;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package wharf:fault;
            world keyvalue {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        path: "../wit/keyvalue-draft2",
        generate_all,
    });
}

use bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use bindings::wasi::keyvalue::batch;
use bindings::wasi::keyvalue::store::{self, Bucket, Error};

/// Opens the `bucket` that the query names.
pub fn open(query: &Query) -> Result<Bucket, Error> {
    store::open(query.text_or_empty("bucket"))
}

/// Adds `delta` (or 1) to `key` in `bucket`.
pub fn increment(query: &Query) -> Result<i64, Error> {
    let delta = query.text("delta").map_or(1, |_| query.number("delta"));
    atomics::increment(&open(query)?, query.text_or_empty("key"), delta)
}

/// The bucket by which a test tells a guest to go on, and a guest tells that it was here.
fn gates() -> Bucket {
    store::open("gates").expect("the test grants the bucket")
}

/// Counts `key` up, for the test to see.
pub fn mark(key: &str) {
    atomics::increment(&gates(), key, 1).expect("the test grants the bucket");
}

/// Whether the test, or a guest, has marked `key`.
pub fn is_marked(key: &str) -> bool {
    let marked = gates().exists(key);
    marked.expect("the test grants the bucket")
}

/// `op`, `bucket`, and what the operation takes: answers `{"ok": …}` or `{"error": …}`.
pub fn run(query: &Query, answer: Answer) {
    answer.json(&match operate(query) {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": name(&error) }),
    });
}

fn operate(query: &Query) -> Result<Value, Error> {
    let bucket = open(query)?;
    let key = query.text_or_empty("key");
    let value = query.text_or_empty("value").as_bytes();
    match query.text_or_empty("op") {
        "open" => Ok(Value::Null),
        "get" => Ok(json!(bucket.get(key)?.map(text))),
        "set" => Ok(json!(bucket.set(key, value)?)),
        "delete" => Ok(json!(bucket.delete(key)?)),
        "exists" => Ok(json!(bucket.exists(key)?)),
        "list" => list(&bucket),
        "increment" => Ok(json!(increment(query)?)),
        "cas" => swap(&bucket, key, query),
        "get-many" => get_many(&bucket, query),
        "set-many" => {
            let pairs: Vec<_> = query.all("key").into_iter().zip(values(query)).collect();
            Ok(json!(batch::set_many(&bucket, &pairs)?))
        }
        "delete-many" => Ok(json!(batch::delete_many(&bucket, &query.all("key"))?)),
        other => Err(Error::Other(format!("no such operation: {other}"))),
    }
}

/// All keys, read page by page.
fn list(bucket: &Bucket) -> Result<Value, Error> {
    let mut keys = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = bucket.list_keys(cursor.as_deref())?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            keys.sort();
            return Ok(json!(keys));
        }
    }
}

/// Compare and swap: writes `value` if the key still has what it had at the start. With `disturb`,
/// it hasn't, since another write comes in between.
fn swap(bucket: &Bucket, key: &str, query: &Query) -> Result<Value, Error> {
    let cas = Cas::new(bucket, key)?;
    if let Some(other) = query.text("disturb") {
        bucket.set(key, other.as_bytes())?;
    }
    let seen = cas.current()?.map(text);
    match atomics::swap(cas, query.text_or_empty("value").as_bytes()) {
        Ok(()) => Ok(json!({ "swapped": true, "seen": seen })),
        Err(CasError::CasFailed(newer)) => Ok(json!({
            "swapped": false,
            "seen": seen,
            "now": newer.current()?.map(text),
        })),
        Err(CasError::StoreError(error)) => Err(error),
    }
}

fn get_many(bucket: &Bucket, query: &Query) -> Result<Value, Error> {
    let found = batch::get_many(bucket, &query.all("key"))?;
    let pairs = found
        .into_iter()
        .map(|pair| pair.map(|(key, value)| (key, text(value))));
    Ok(json!(pairs.collect::<Vec<_>>()))
}

fn values(query: &Query) -> impl Iterator<Item = Vec<u8>> {
    query.all("value").into_iter().map(String::into_bytes)
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

/// The error as WIT spells it.
fn name(error: &Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(message) => format!("other: {message}"),
    }
}
