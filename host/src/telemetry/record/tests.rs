use std::net::Ipv4Addr;
use std::time::Duration;

use http::{HeaderValue, Request};
use serde_json::{Value, json};

use super::*;
use crate::config::{self, AccessOutput, LogFormat};

fn begin(recorder: &Recorder, method: Method) -> Record {
    let request = Request::builder().method(method).uri("/login?key=secret");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let id = HeaderValue::from_static("r-1").try_into().unwrap();
    recorder.begin(Instant::now(), &id, &head, Ipv4Addr::LOCALHOST.into())
}

fn place() -> Place {
    Place {
        service: "login".parse().unwrap(),
        digest: "ab12".into(),
        revision: Some(7),
    }
}

/// The lines that come of what is done with a log.
fn lines(work: impl FnOnce(&Recorder)) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = AccessLog::open(&config::AccessLog {
        output: AccessOutput::File(path.clone()),
        format: LogFormat::Json,
    });
    let log = log.unwrap();
    work(&Recorder::new(log.clone(), Tracer::off()));
    log.close();
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_told_of_when_its_body_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = AccessLog::open(&config::AccessLog {
        output: AccessOutput::File(path.clone()),
        format: LogFormat::Json,
    });
    let log = log.unwrap();
    let mut record = begin(&Recorder::new(log.clone(), Tracer::off()), Method::POST);
    record.routed("/login");
    let progress = record.progress();
    progress.goes_to(place);
    progress.read(10);
    progress.tried(InstanceId(3), 1);
    progress.tried(InstanceId(0), 2);
    tokio::time::advance(Duration::from_millis(20)).await;
    record.answered(StatusCode::OK, false);
    tokio::time::advance(Duration::from_millis(30)).await;
    record.sent(100, false);
    record.sent(28, true);
    log.close();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    drop(record);
    log.close();
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (key, expected) in [
        ("path", json!("/login")),
        ("status", json!(200)),
        ("service", json!("login")),
        ("release", json!("ab12")),
        ("revision", json!(7)),
        ("instance", json!("0")),
        ("tries", json!(2)),
        ("in_bytes", json!(10)),
        ("out_bytes", json!(128)),
        ("head_seconds", json!(0.02)),
        ("duration_seconds", json!(0.05)),
        ("complete", json!(true)),
    ] {
        assert_eq!(line[key], expected, "{key}");
    }
}

#[test]
fn a_body_that_is_cut_is_told_from_one_that_is_over_or_never_was() {
    let lines = lines(|recorder| {
        let mut cut = begin(recorder, Method::GET);
        cut.answered(StatusCode::OK, false);
        cut.sent(5, false);
        drop(cut);
        begin(recorder, Method::HEAD).answered(StatusCode::OK, false);
        begin(recorder, Method::GET).answered(StatusCode::NOT_FOUND, true);
    });
    let complete: Vec<_> = lines.iter().map(|line| line["complete"].clone()).collect();
    assert_eq!(complete, [json!(false), json!(true), json!(true)]);
    assert_eq!(lines[2]["service"], json!(null));
}

#[test]
fn a_request_that_was_not_answered_has_no_line() {
    assert!(lines(|recorder| drop(begin(recorder, Method::GET))).is_empty());
}

#[test]
fn a_record_that_nobody_wants_is_nothing() {
    let mut record = begin(&Recorder::new(AccessLog::off(), Tracer::off()), Method::GET);
    assert!(record.0.is_none());
    record.progress().goes_to(|| panic!("nobody asks"));
    record.answered(StatusCode::OK, true);
    assert!(!record.progress().is_wanted());
    assert_eq!(size_of::<Record>(), size_of::<usize>());
    assert_eq!(size_of::<Progress>(), size_of::<usize>());
}
