use std::io;

use crossterm::event::KeyEvent;
use futures::stream;
use tokio::sync::mpsc;

use super::super::testing::{Fake, NOW, Reply};
use super::super::text::width_of;
use super::*;

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn message(event: &str, data: &str) -> News {
    News::Message(Message {
        event: event.to_owned(),
        data: data.to_owned(),
        id: None,
    })
}

fn services(names: &[(&str, f64)]) -> String {
    let services: Vec<_> = names
        .iter()
        .map(|(name, rate)| {
            format!(
                r#"{{"name":"{name}","state":"degraded","frozen":true,"release":{{"revision":1234}},
                "instances":[{{"id":"1","state":"ready","in_flight":88888,"memory_bytes":1310720,"age_seconds":12.5}}],
                "queued":99999,
                "live":{{"requests_per_second":{rate},"errors_per_second":88888,"p50_seconds":0.888888,"p99_seconds":188.0}}}}"#
            )
        })
        .collect();
    format!(r#"{{"at":1,"services":[{}]}}"#, services.join(","))
}

fn event(text: &str) -> News {
    message(
        "event",
        &format!(r#"{{"at":{NOW},"service":"pay","level":"error","message":"{text}"}}"#),
    )
}

fn state(news: Vec<News>) -> State {
    let mut state = State::new("127.0.0.1:9090".to_owned());
    for news in news {
        state.take(news).unwrap();
    }
    state
}

fn shown(state: &State, width: usize, height: usize) -> Vec<String> {
    lines(state, width, height, NOW)
        .iter()
        .map(|line| plain(line))
        .collect()
}

#[test]
fn the_busiest_service_is_the_first_and_the_newest_event_the_last() {
    let state = state(vec![
        message("services", &services(&[("a", 1.0), ("b", 2.0), ("c", 1.0)])),
        event("one"),
        event("two"),
    ]);
    let lines = shown(&state, 80, 24);
    assert!(
        lines[0].starts_with("wharf 127.0.0.1:9090  3 services  4 req/s  267k err/s"),
        "{lines:#?}"
    );
    assert!(lines[0].ends_with("18:00:09Z"), "{lines:#?}");
    let names: Vec<_> = lines[3..9]
        .iter()
        .filter(|line| !line.starts_with(' '))
        .map(|line| &line[..1])
        .collect();
    assert_eq!(names, ["b", "a", "c"]);
    assert!(
        lines[4].contains("`wharf resume b`"),
        "what needs the operator is there: {lines:#?}"
    );
    assert_eq!(
        lines[21..],
        [
            "18:00:09  pay  one",
            "18:00:09  pay  two",
            "q quits  ↑↓ scroll"
        ]
    );
}

#[test]
fn it_fits_every_terminal() {
    let long = "x".repeat(63);
    let mut all = vec![message(
        "services",
        &services(&[(long.as_str(), 88_888.0); 30]),
    )];
    all.extend((0..60).map(|_| event(&"very long ".repeat(30))));
    let state = state(all);
    for (width, height) in [(80, 24), (100, 30), (120, 80), (200, 10), (80, 5)] {
        let lines = shown(&state, width, height);
        assert_eq!(lines.len(), height, "{width}x{height}");
        for line in lines {
            assert!(width_of(&line) <= width, "{width}x{height}: {line}");
        }
    }
    let lines = shown(&state, 80, 24);
    assert!(
        lines.iter().any(|line| line.starts_with("… and ")),
        "{lines:#?}"
    );
    for height in 0..5 {
        assert!(shown(&state, 80, height).len() <= height, "{height}");
    }
}

#[test]
fn the_arrows_scroll_and_q_ends_it() {
    let mut state = state(vec![message(
        "services",
        &services(&[("a", 2.0), ("b", 1.0)]),
    )]);
    let none = KeyModifiers::NONE;
    for _ in 0..5 {
        assert!(!state.key(KeyCode::Down, none));
    }
    assert!(
        shown(&state, 80, 24)[3].starts_with('b'),
        "the last one stays"
    );
    assert!(!state.key(KeyCode::Home, none));
    assert!(shown(&state, 80, 24)[3].starts_with('a'));
    assert!(!state.key(KeyCode::Char('c'), none));
    assert!(state.key(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(state.key(KeyCode::Char('q'), none));
}

#[test]
fn nothing_in_it_is_an_order_to_the_terminal() {
    let state = state(vec![
        message(
            "services",
            r#"{"services":[{"name":"a\u001b[2J","state":"\u001b]0;x\u0007"}]}"#,
        ),
        message("event", r#"{"message":"\u001b[2J","service":"\u009b2J"}"#),
        News::Lost("\x1b[2J".to_owned()),
    ]);
    // what is left once our own colours are gone
    for line in shown(&state, 80, 24) {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

/// A screen that hands its frames on.
struct Frames(mpsc::UnboundedSender<String>);

impl Draw for Frames {
    fn size(&self) -> (usize, usize) {
        (80, 24)
    }

    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        self.0
            .send(plain(&lines.join("\n")))
            .map_err(io::Error::other)
    }
}

#[tokio::test]
async fn it_goes_on_after_a_restart_until_q_is_pressed() {
    let live = |name: &str| {
        format!(
            "event: services\ndata: {}\n\n",
            services(&[(name, 1.0)]).replace('\n', " ")
        )
    };
    let starts = std::sync::atomic::AtomicUsize::new(0);
    let mut fake = Fake::start(move |_| {
        let start = starts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::open_stream(&live(if start == 0 { "before" } else { "after" }))
    })
    .await;
    let options = client::Options {
        admin: fake.address.to_string().parse().unwrap(),
        data: "data".into(),
        token_file: None,
    };
    let client = Client::with_token(&options, Some(Fake::TOKEN.to_owned()));
    let mut news = follow(&client, "/api/live".to_owned(), "/api/live".to_owned());
    let (press, pressed) = mpsc::unbounded_channel::<KeyCode>();
    let keys = Box::pin(stream::unfold(pressed, async |mut pressed| {
        let code = pressed.recv().await?;
        Some((Ok(Input::Key(KeyEvent::from(code))), pressed))
    }));
    let (frames, mut frame) = mpsc::unbounded_channel();
    let mut screen = Frames(frames);
    let state = State::new("host".to_owned());
    let watching = watch(state, &mut news, keys, &mut screen, || NOW);
    let test = async {
        let mut until = async |wanted: &str| while !frame.recv().await.unwrap().contains(wanted) {};
        until("before").await;
        fake.stop().await;
        until("waiting for the host").await;
        fake.restart().await;
        until("after").await;
        press.send(KeyCode::Char('q')).unwrap();
    };
    let (ended, ()) = tokio::time::timeout(
        Duration::from_mins(1),
        futures::future::join(watching, test),
    )
    .await
    .unwrap();
    ended.unwrap();
}

#[tokio::test]
async fn without_a_terminal_it_names_what_needs_none() {
    let fake = Fake::start(|_| Reply::empty()).await;
    let run = fake.run(&["top"]).await;
    assert_eq!(run.code, 1);
    assert!(run.err.contains("`wharf status`"), "{}", run.err);
}

#[tokio::test]
async fn a_host_that_is_not_there_leaves_the_screen_alone() {
    let fake = Fake::start(|_| Reply::empty()).await.stopped().await;
    let run = fake.run_with(&["top"], Some(80)).await;
    assert_eq!((run.code, run.out.as_str()), (3, ""));
}
