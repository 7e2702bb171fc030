use std::net::Ipv4Addr;

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::LogFormat;

pub(super) fn access() -> Access {
    Access {
        at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_180_000_123),
        request: HeaderValue::from_static("r-1").try_into().unwrap(),
        method: Method::POST,
        target: Some(PathAndQuery::from_static("/login?password=secret")),
        version: Version::HTTP_11,
        remote: Ipv4Addr::LOCALHOST.into(),
        status: StatusCode::OK,
        served: Some(Served {
            service: "login".parse().unwrap(),
            digest: "ab12cd34ef56ab12cd34".into(),
            revision: Some(7),
            instance: Some(InstanceId(12)),
            tries: 2,
        }),
        bytes_in: 10,
        bytes_out: 512,
        head: Duration::from_micros(790),
        duration: Duration::from_micros(812),
        complete: true,
    }
}

fn line(access: &Access, format: LogFormat) -> String {
    let mut line = String::new();
    format::line(access, format, &mut line);
    line
}

#[test]
fn a_line_of_text_has_no_query() {
    assert_eq!(
        line(&access(), LogFormat::Text),
        "2025-11-26T18:00:00.123Z 127.0.0.1 \"POST /login HTTP/1.1\" 200 service=login \
         release=ab12cd34ef56 revision=7 instance=12 tries=2 in=10 out=512 head=0.000790 \
         time=0.000812 id=r-1\n"
    );
    let refused = Access {
        served: None,
        complete: false,
        ..access()
    };
    assert_eq!(
        line(&refused, LogFormat::Text),
        "2025-11-26T18:00:00.123Z 127.0.0.1 \"POST /login HTTP/1.1\" 200 in=10 out=512 \
         head=0.000790 time=0.000812 cut=true id=r-1\n"
    );
}

#[test]
fn a_line_of_json_has_the_same_and_always_the_same_keys() {
    let parse = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap();
    let shown = parse(line(&access(), LogFormat::Json));
    assert_eq!(
        shown,
        json!({
            "at": 1_764_180_000.123, "request": "r-1", "remote": "127.0.0.1", "method": "POST",
            "path": "/login", "version": "HTTP/1.1", "status": 200, "service": "login",
            "release": "ab12cd34ef56", "revision": 7, "instance": "12", "tries": 2, "in_bytes": 10,
            "out_bytes": 512, "head_seconds": 0.00079, "duration_seconds": 0.000_812,
            "complete": true,
        })
    );
    let refused = Access {
        served: None,
        ..access()
    };
    let refused = parse(line(&refused, LogFormat::Json));
    let keys = |value: &serde_json::Value| {
        let keys = value.as_object().unwrap().keys();
        keys.cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&refused), keys(&shown));
    assert_eq!(refused["service"], json!(null));
}

#[test]
fn a_log_that_is_off_takes_lines_and_writes_none() {
    let log = AccessLog::open(&config::AccessLog::default()).unwrap();
    assert!(!log.is_on());
    log.write(access());
    log.close();
}

#[test]
fn a_file_gets_all_lines_of_all_threads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = AccessLog::open(&config::AccessLog {
        output: AccessOutput::File(path.clone()),
        format: LogFormat::Json,
    });
    let log = log.unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| log.write(access())));
        }
    });
    log.close();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), 2000);
    assert!(
        written
            .lines()
            .all(|text| format!("{text}\n") == line(&access(), LogFormat::Json))
    );
}

#[test]
fn a_file_in_a_directory_that_is_not_there_is_an_error() {
    let settings = config::AccessLog {
        output: AccessOutput::File("no/such/directory/log".into()),
        format: LogFormat::Text,
    };
    assert!(AccessLog::open(&settings).is_err());
}

proptest! {
    #[test]
    fn no_path_can_forge_a_line_or_hide_in_one(path in "/\\PC*|/[\u{21}-\u{2fff}]*", json: bool) {
        let Ok(target) = PathAndQuery::try_from(path.as_str()) else {
            return Ok(());
        };
        let wanted = target.path().to_owned();
        let access = Access { target: Some(target), ..access() };
        let format = if json { LogFormat::Json } else { LogFormat::Text };
        let line = line(&access, format);
        let body = line.strip_suffix('\n').unwrap();
        prop_assert!(!body.chars().any(char::is_control), "{body:?}");
        let turned = body.contains(['\u{2028}', '\u{202e}']);
        prop_assert!(!turned, "{body:?}");
        if json {
            let shown: serde_json::Value = serde_json::from_str(body).unwrap();
            prop_assert_eq!(shown["path"].as_str().unwrap(), wanted);
        } else {
            // what is between the first and the last quote that isn't escaped
            let quotes = body.replace("\\\\", "").replace("\\\"", "").matches('"').count();
            prop_assert_eq!(quotes, 2);
        }
    }
}
