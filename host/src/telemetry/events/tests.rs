use futures::FutureExt;
use serde_json::json;
use std::io::Write;
use std::pin::Pin;

use parking_lot::Mutex;

use super::*;
use crate::service::exit::InstanceId;

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

fn drain(stream: impl Stream<Item = Arc<Event>>) -> Vec<String> {
    let mut stream: Pin<Box<_>> = Box::pin(stream);
    let mut got = Vec::new();
    while let Some(Some(event)) = stream.next().now_or_never() {
        got.push(event.message.clone());
    }
    got
}

fn with(count: u64) -> Events {
    let events = Events::new();
    for number in 1..=count {
        events.tell(Event::of(Kind::Operator).say(number.to_string()));
    }
    events
}

#[test]
fn an_event_is_what_the_api_says() {
    let events = Events::new();
    let digest: Arc<str> = "ab12".into();
    let event = Event::of(Kind::RolledBack).service(&name("login"));
    let event = event.revision(8).digest(&digest).instance(InstanceId(12));
    events.tell(event.reason("crashes").say("Revision 8 was taken back."));
    let told = events.last(1, None).remove(0);
    let mut shown = serde_json::to_value(&*told).unwrap();
    assert!(shown["at"].take().as_f64().unwrap() > 1.7e9);
    let id = format!("{:06x}-1", events.boot);
    assert_eq!(told.id().unwrap().to_string(), id);
    assert_eq!(
        shown,
        json!({
            "id": id, "at": null, "kind": "rolled_back", "service": "login", "level": "warning",
            "message": "Revision 8 was taken back.", "revision": 8, "digest": "ab12",
            "instance": "12", "reason": "crashes",
        })
    );
    events.tell(Event::deploy(Stage::Refused));
    let shown = serde_json::to_value(&*events.last(1, None).remove(0)).unwrap();
    assert_eq!(shown["service"], json!(null));
    assert_eq!(shown["stage"], json!("refused"));
    assert_eq!(shown["level"], json!("error"));
}

#[test]
fn a_client_that_comes_again_goes_on_where_it_was() {
    let events = with(5);
    let third = events.last(3, None)[0].id().unwrap().to_string();
    assert_eq!(drain(events.follow(Some(&third), 1, None)), ["4", "5"]);
    // of the process before; not an id
    let other = format!("{:06x}-4", events.boot ^ 1);
    assert_eq!(drain(events.follow(Some(&other), 0, None)).len(), 5);
    assert_eq!(drain(events.follow(Some("4"), 1, None)), ["5"]);
}

#[test]
fn events_of_one_service_can_be_had_alone() {
    let events = with(3);
    events.tell(Event::of(Kind::Removed).service(&name("a")).say("a goes"));
    events.tell(Event::of(Kind::Removed).service(&name("b")).say("b goes"));
    assert_eq!(drain(events.follow(None, 9, Some("a"))), ["a goes"]);
    assert_eq!(events.last(9, Some("b")).len(), 1);
    assert_eq!(events.last(9, None).len(), 5);
}

#[test]
fn who_missed_events_is_told_and_can_go_on_from_there() {
    let events = with(1);
    let first = events.last(1, None)[0].id().unwrap().to_string();
    let more = Events::KEPT + 10;
    (0..more).for_each(|_| events.tell(Event::of(Kind::Operator)));
    let mut following = Box::pin(events.follow(Some(&first), 0, None));
    let missed = following.next().now_or_never().unwrap().unwrap();
    assert_eq!(missed.kind, Kind::Missed);
    assert_eq!(missed.message, "10 events came too fast and were left out");
    assert_eq!(missed.id().unwrap().number, 11);
    let next = following.next().now_or_never().unwrap().unwrap();
    assert_eq!(next.id().unwrap().number, 12);
}

#[test]
fn a_text_that_is_too_long_is_cut_between_characters() {
    let event = Event::of(Kind::Operator).say("é".repeat(Event::LONGEST));
    assert_eq!(event.message.len(), Event::LONGEST + '…'.len_utf8());
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_is_a_line_of_the_log() {
    let written = Written::default();
    let writer = written.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(log, || {
        let event = Event::of(Kind::BreakerOpened).service(&name("login"));
        Events::new().tell(event.say("login rests."));
    });
    let line: serde_json::Value = serde_json::from_slice(&written.0.lock()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["event"], "breaker_opened");
    assert_eq!(line["service"], "login");
    assert_eq!(line["message"], "login rests.");
    assert_eq!(line.get("revision"), None);
}
