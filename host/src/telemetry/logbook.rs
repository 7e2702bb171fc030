//! The last lines that guests wrote, for each service, for who asks and for who follows.
//!
//! Each release takes its service's [`Pages`] once; so writing a line takes no look-up by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::feed::{Bounds, Entry, Feed, Next, Start};
use crate::config::ServiceName;
use crate::service::exit::unix_seconds;

/// Where a guest wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// The interface `wasi:logging`.
    Log,
}

/// How much a line matters, in the words of `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineLevel {
    /// What happens in detail.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What is as it should be.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
    /// What can't be lived with.
    Critical,
}

impl Source {
    /// The stream as one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
        }
    }
}

impl LineLevel {
    /// The level as one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// One line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogLine {
    /// When it was written, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// The service.
    pub service: ServiceName,
    /// The first digits of the release's digest; empty in a line of the host's own.
    pub release: Arc<str>,
    /// The instance; empty in a line of the host's own.
    pub instance: Arc<str>,
    /// The request that the instance worked on, if there was one and only one.
    pub request: Option<Arc<str>>,
    /// Where it was written.
    #[serde(rename = "stream")]
    pub source: Source,
    /// How much it matters, if the guest said that.
    pub level: Option<LineLevel>,
    /// What it says, without control characters.
    pub text: String,
}

impl Entry for LogLine {
    fn bytes(&self) -> usize {
        self.text.len()
    }
}

/// The lines of all services.
#[derive(Debug, Default)]
pub struct Logbook(Mutex<BTreeMap<ServiceName, Pages>>);

/// The lines of one service. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Pages {
    service: ServiceName,
    feed: Arc<Feed<LogLine>>,
}

impl Logbook {
    /// The lines of a service, which are none at first.
    pub fn open(&self, service: &ServiceName) -> Pages {
        let mut services = self.0.lock();
        let pages = services.entry(service.clone());
        pages.or_insert_with(|| Pages::new(service)).clone()
    }

    /// The lines of a service, if there is such a service.
    pub fn get(&self, service: &str) -> Option<Pages> {
        self.0.lock().get(service).cloned()
    }

    /// A service was removed: its lines are forgotten, and whoever follows them comes to the end.
    pub fn forget(&self, service: &ServiceName) {
        if let Some(pages) = self.0.lock().remove(service) {
            pages.feed.close();
        }
    }
}

impl Pages {
    /// Lines that are kept.
    pub const LINES: usize = 1000;
    /// Bytes of text that are kept; the latest line in any case.
    pub const BYTES: usize = 256 << 10;

    fn new(service: &ServiceName) -> Self {
        let bounds = Bounds {
            entries: Self::LINES,
            bytes: Self::BYTES,
        };
        Self {
            service: service.clone(),
            feed: Feed::new(bounds),
        }
    }

    /// Whose lines they are.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Adds a line, and tells it to all who follow.
    pub fn write(&self, line: LogLine) {
        self.feed.push(|_| line);
    }

    /// The last lines, at most `count`, oldest first.
    pub fn last(&self, count: usize) -> Vec<Arc<LogLine>> {
        self.feed.last(count, |_| true)
    }

    /// The `last` lines and then those that come, until the service is removed.
    ///
    /// No guest ever waits for who follows. Whoever is so slow that lines are not kept any more
    /// gets one in their place that says how many they were.
    pub fn follow(&self, last: usize) -> impl Stream<Item = Arc<LogLine>> + Send + use<> {
        let service = self.service.clone();
        let lines = self.feed.follow(Start::Last(last), |_| true);
        lines.map(move |next| match next {
            Next::Entry(line) => line,
            Next::Missed { count, .. } => Arc::new(missed(&service, count)),
        })
    }
}

fn missed(service: &ServiceName, count: u64) -> LogLine {
    LogLine {
        at: unix_seconds(SystemTime::now()),
        service: service.clone(),
        release: "".into(),
        instance: "".into(),
        request: None,
        source: Source::Log,
        level: Some(LineLevel::Warn),
        text: format!("{count} lines came too fast and were left out"),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn line(service: &ServiceName, text: impl Into<String>) -> LogLine {
        LogLine {
            at: 1.5,
            service: service.clone(),
            release: "ab12cd34ef56".into(),
            instance: "12".into(),
            request: None,
            source: Source::Stdout,
            level: None,
            text: text.into(),
        }
    }

    #[test]
    fn a_line_is_what_the_api_says() {
        let login = "login".parse().unwrap();
        assert_eq!(
            serde_json::to_value(line(&login, "hello")).unwrap(),
            json!({
                "at": 1.5, "service": "login", "release": "ab12cd34ef56", "instance": "12",
                "request": null, "stream": "stdout", "level": null, "text": "hello",
            })
        );
    }

    #[test]
    fn each_service_has_its_own_lines_within_bounds() {
        let logbook = Logbook::default();
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let pages = logbook.open(&a);
        (0..2000).for_each(|number| pages.write(line(&a, number.to_string())));
        assert_eq!(logbook.open(&a).last(5000).len(), Pages::LINES);
        assert_eq!(logbook.open(&a).last(1)[0].text, "1999");
        assert!(logbook.open(&b).last(5000).is_empty());
        (0..10).for_each(|_| pages.write(line(&a, "x".repeat(100 << 10))));
        assert_eq!(pages.last(5000).len(), 2);
        pages.write(line(&a, "x".repeat(Pages::BYTES * 2)));
        assert_eq!(pages.last(5000).len(), 1);
    }

    #[test]
    fn who_missed_lines_is_told() {
        let logbook = Logbook::default();
        let a = "a".parse().unwrap();
        let pages = logbook.open(&a);
        let mut following = Box::pin(pages.follow(0));
        (0..Pages::LINES + 3).for_each(|number| pages.write(line(&a, number.to_string())));
        let mut next = || following.next().now_or_never().unwrap().unwrap();
        assert_eq!(next().text, "3 lines came too fast and were left out");
        assert_eq!(next().text, "3");
    }

    #[test]
    fn the_lines_of_a_removed_service_are_forgotten_and_their_followers_end() {
        let logbook = Logbook::default();
        let a = "a".parse().unwrap();
        logbook.open(&a).write(line(&a, "last words"));
        let mut following = Box::pin(logbook.get("a").unwrap().follow(9));
        logbook.forget(&a);
        assert!(logbook.get("a").is_none());
        let mut next = || following.next().now_or_never().unwrap();
        assert_eq!(next().unwrap().text, "last words");
        assert!(next().is_none());
    }
}
