//! A service against `wasi:keyvalue` 0.2.0-draft, the version that guests built for wasmtime and
//! wasmCloud import. It does everything which that version can do, and answers what it saw.

use std::io::Write as _;

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    inline: "
        package wharf:keyvalue-draft;
        world guest {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
        }
    ",
    path: "../wit/keyvalue-draft",
    generate_all,
});

use wasi::keyvalue::store::{Bucket, Error, open};
use wasi::keyvalue::{atomics, batch};

wasip2::http::proxy::export!(KeyvalueDraft);

struct KeyvalueDraft;

impl wasip2::exports::http::incoming_handler::Guest for KeyvalueDraft {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let bucket = target
            .split_once("bucket=")
            .map_or("shared", |(_, name)| name);
        let text = match open(bucket).and_then(|bucket| everything(&bucket)) {
            Ok(text) => text,
            Err(Error::NoSuchStore) => "error: no-such-store".to_owned(),
            Err(Error::AccessDenied) => "error: access-denied".to_owned(),
            Err(Error::Other(message)) => format!("error: {message}"),
        };

        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("taken for the first time");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("taken for the first time");
        stream
            .write_all(text.as_bytes())
            .expect("the client listens");
        stream.blocking_flush().expect("the client listens");
        drop(stream);
        OutgoingBody::finish(body, None).expect("nothing was promised but this");
    }
}

fn everything(bucket: &Bucket) -> Result<String, Error> {
    let from_elsewhere = bucket.get("from-draft2")?;
    let from_elsewhere = from_elsewhere.map(|value| String::from_utf8_lossy(&value).into_owned());
    bucket.set("from-draft", b"written by draft")?;
    bucket.set("gone", b"soon")?;
    bucket.delete("gone")?;
    let gone = !bucket.exists("gone")?;
    let count = atomics::increment(bucket, "draft-count", 5)?;
    batch::set_many(
        bucket,
        &[
            ("batch-a".to_owned(), b"1".to_vec()),
            ("batch-b".to_owned(), b"2".to_vec()),
        ],
    )?;
    let many = batch::get_many(bucket, &["batch-a".to_owned(), "absent".to_owned()])?;
    let found = many.iter().flatten().count();
    batch::delete_many(bucket, &["batch-a".to_owned(), "batch-b".to_owned()])?;
    let keys = keys(bucket)?;
    Ok(format!(
        "elsewhere={} gone={gone} count={count} found={found} keys={}",
        from_elsewhere.unwrap_or_else(|| "nothing".to_owned()),
        keys.join(",")
    ))
}

fn keys(bucket: &Bucket) -> Result<Vec<String>, Error> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            keys.sort();
            return Ok(keys);
        }
    }
}
