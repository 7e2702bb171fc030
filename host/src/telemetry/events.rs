//! The event log of the host: what became of releases, instances and services, and what the operator
//! did. The last events are kept, whoever wants can follow, and each is a line of the log, too.

mod event;
mod kind;

use std::sync::Arc;
use std::time::SystemTime;

use futures::{Stream, StreamExt};
use tracing::{debug, error, info, warn};

pub use self::event::{Event, EventId, InvalidEventId};
pub use self::kind::{Kind, Level, Stage};

use super::feed::{Bounds, Feed, Next, Start};
use crate::config::ServiceName;
use crate::service::exit::unix_seconds;

/// See the module. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Events {
    boot: u32,
    feed: Arc<Feed<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// How many are kept.
    pub const KEPT: usize = 1000;

    /// An empty log.
    pub fn new() -> Self {
        let bounds = Bounds {
            entries: Self::KEPT,
            bytes: 2 << 20,
        };
        Self {
            // six digits are enough to tell one process from the one before
            boot: rand::random::<u32>() >> 8,
            feed: Feed::new(bounds),
        }
    }

    /// Keeps an event, tells it to all who follow, and writes it to the log.
    pub fn tell(&self, event: Event) {
        let boot = self.boot;
        // the time is asked for under the lock, so that it doesn't go back from one to the next
        let told = self.feed.push(|number| Event {
            id: Some(EventId { boot, number }),
            at: unix_seconds(SystemTime::now()),
            ..event
        });
        write(&told);
    }

    /// The last events, at most `limit`, oldest first; of one service, if one is named.
    pub fn last(&self, limit: usize, service: Option<&str>) -> Vec<Arc<Event>> {
        self.feed.last(limit, |event| is_of(event, service))
    }

    /// Events as they happen; of one service, if one is named.
    ///
    /// They begin with those that came after the event `after` (the `Last-Event-ID` of a client that
    /// comes again). That of another process is before all of this one's. Without it, or where it
    /// is no event's id, they begin with the `last` ones.
    ///
    /// Nobody who writes ever waits for who follows. Whoever is so slow that events are not kept any more
    /// gets one of [`Kind::Missed`] in their place, which says how many they were; events of all
    /// services are counted there.
    pub fn follow(
        &self,
        after: Option<&str>,
        last: usize,
        service: Option<&str>,
    ) -> impl Stream<Item = Arc<Event>> + Send + use<> {
        let start = match after.and_then(|id| id.parse::<EventId>().ok()) {
            Some(id) if id.boot == self.boot => Start::After(id.number),
            Some(_) => Start::Last(Self::KEPT),
            None => Start::Last(last),
        };
        let (boot, service) = (self.boot, service.map(str::to_owned));
        let events = self
            .feed
            .follow(start, move |event| is_of(event, service.as_deref()));
        events.map(move |next| match next {
            Next::Entry(event) => event,
            Next::Missed { count, last } => Arc::new(missed(count, EventId { boot, number: last })),
        })
    }
}

fn is_of(event: &Event, service: Option<&str>) -> bool {
    service.is_none_or(|name| event.service.as_ref().is_some_and(|of| of.as_str() == name))
}

/// What a follower gets instead of events that are not kept any more. It has the id of the last of
/// them, so that a client that comes again with it goes on there.
fn missed(count: u64, last: EventId) -> Event {
    let said =
        Event::of(Kind::Missed).say(format!("{count} events came too fast and were left out"));
    Event {
        id: Some(last),
        at: unix_seconds(SystemTime::now()),
        ..said
    }
}

fn write(event: &Event) {
    macro_rules! write_as {
        ($level:ident) => {
            $level!(
                event = event.kind.word(),
                service = event.service.as_ref().map(ServiceName::as_str),
                revision = event.revision,
                digest = event.digest.as_deref(),
                instance = event.instance.map(|instance| instance.0),
                stage = event.stage.map(Stage::word),
                reason = event.reason.as_deref(),
                "{}",
                event.message
            )
        };
    }
    match event.level {
        _ if event.is_quiet() => write_as!(debug),
        Level::Info => write_as!(info),
        Level::Warning => write_as!(warn),
        Level::Error => write_as!(error),
    }
}

#[cfg(test)]
mod tests;
