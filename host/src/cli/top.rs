//! `wharf top`: the services as they are, once a second, on the whole terminal.

mod screen;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use crossterm::event::{Event as Input, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures::{Stream, StreamExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use self::screen::{Draw, Screen};
use self::view::lines;
use super::api::{Event, Service, Services};
use super::client::{self, Client, Error, Follow, Message, News, follow};
use super::operator::help;
use super::output::Output;
use super::text::line;

/// Events that are remembered.
const EVENTS: usize = 50;
/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// What `top` takes.
#[derive(Args)]
#[command(after_help = help!("The service with the most requests is the first. BUSY is requests that run,\n\
    QUEUE those that wait, MEM the memory of all instances, AGE that of the oldest;\n\
    the last three need 100 columns. Keys: q or Ctrl-C ends it, the arrows scroll.\n\
    \n\
    Example:\n\
    \x20 wharf top"))]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) host: client::Options,
}

pub(super) async fn run(_: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    if !out.is_terminal() {
        bail!(
            "`wharf top` needs a terminal; `wharf status` prints the same once, and `wharf status --json` is for programs"
        );
    }
    let path = "/api/live".to_owned();
    let mut news = follow(client, path.clone(), path);
    let mut state = State::new(client.address());
    // before the screen is taken: why there is nothing to see stays readable
    state.take(news.next().await?)?;
    let mut screen = Screen::take()?;
    watch(state, &mut news, EventStream::new(), &mut screen, || {
        out.now()
    })
    .await
}

/// What is shown.
struct State {
    address: String,
    /// Sorted by requests per second.
    services: Vec<Service>,
    events: VecDeque<Event>,
    /// Why the host is not there, and since when, in seconds since 1970.
    lost: Option<String>,
    /// Services above those that are seen.
    scrolled: usize,
}

impl State {
    fn new(address: String) -> Self {
        Self {
            address,
            services: Vec::new(),
            events: VecDeque::new(),
            lost: None,
            scrolled: 0,
        }
    }

    fn take(&mut self, news: News) -> Result<(), Error> {
        match news {
            News::Message(message) => return self.message(&message),
            News::Lost(why) => self.lost = Some(line(&why)),
            News::Back => {
                self.lost = None;
                // the host tells the last ones again
                self.events.clear();
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<(), Error> {
        let data = &message.data;
        let odd = |error| Error::not_wharf(&self.address, error);
        match message.event.as_str() {
            "services" => {
                let Services { mut services } = serde_json::from_str(data).map_err(odd)?;
                let rate = |service: &Service| {
                    service
                        .live
                        .as_ref()
                        .map_or(0.0, |live| live.requests_per_second)
                };
                services.sort_by(|a, b| {
                    rate(b)
                        .total_cmp(&rate(a))
                        .then_with(|| a.name.cmp(&b.name))
                });
                self.services = services;
            }
            "event" => {
                let event = serde_json::from_str(data).map_err(odd)?;
                if self.events.len() == EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(event);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes a key; `true` ends it all.
    fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) -> bool {
        let last = self.services.len().saturating_sub(1);
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scrolled = (self.scrolled + 1).min(last),
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(10),
            KeyCode::PageDown => self.scrolled = (self.scrolled + 10).min(last),
            KeyCode::Home => self.scrolled = 0,
            _ => {}
        }
        false
    }
}

/// Shows until a key or a signal ends it.
async fn watch(
    mut state: State,
    news: &mut Follow,
    mut keys: impl Stream<Item = std::io::Result<Input>> + Unpin,
    screen: &mut impl Draw,
    now: impl Fn() -> f64,
) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let (width, height) = screen.size();
        screen.draw(&lines(&state, width, height, now()))?;
        tokio::select! {
            news = news.next() => state.take(news?)?,
            input = keys.next() => match input {
                Some(Ok(Input::Key(key))) if key.kind != KeyEventKind::Release => {
                    if state.key(key.code, key.modifiers) {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                // nobody is there to press one
                None => return Ok(()),
            },
            _ = ticks.tick() => {}
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
