//! Requests in a loop, from several sides at once, while something happens to the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use crate::{Reply, wait_until};

/// What came of many requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Responses by their first line, for bodies that say something in it.
    pub bodies: BTreeMap<String, u64>,
    /// Responses by the instance that gave them.
    pub instances: BTreeMap<String, u64>,
    /// One failed response in full, to have something to look at.
    pub worst: Option<Reply>,
    /// What broke before there was a whole response.
    pub errors: Vec<String>,
}

impl Tally {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: Result<Reply, String>) {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(error) => return self.errors.push(error),
        };
        *self.statuses.entry(reply.status.as_u16()).or_default() += 1;
        let line = reply.text().lines().next().unwrap_or_default().to_owned();
        *self.bodies.entry(line).or_default() += 1;
        *self.instances.entry(reply.instance()).or_default() += 1;
        if !reply.status.is_success() {
            self.worst = Some(reply);
        }
    }

    /// Counts all of several outcomes.
    pub fn of(outcomes: impl IntoIterator<Item = Result<Reply, String>>) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            tally.add(outcome);
        }
        tally
    }

    fn merge(&mut self, other: Self) {
        let pairs = [
            (&mut self.bodies, other.bodies),
            (&mut self.instances, other.instances),
        ];
        for (mine, others) in pairs {
            for (key, count) in others {
                *mine.entry(key).or_default() += count;
            }
        }
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.worst = self.worst.take().or(other.worst);
        self.errors.extend(other.errors);
    }

    /// How many responses had this status.
    pub fn count(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// All responses and errors.
    pub fn total(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.errors.len() as u64
    }

    /// Asserts that there was nothing but this status, and at least one of it.
    ///
    /// # Panics
    ///
    /// If there was anything else.
    pub fn only(&self, status: u16) {
        assert!(
            self.errors.is_empty() && self.count(status) > 0 && self.count(status) == self.total(),
            "all {} requests should have been answered {status}: {self:#?}",
            self.total()
        );
    }
}

/// Runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    workers: JoinSet<Tally>,
}

impl Load {
    /// Starts that many workers, each of which sends one request after the other.
    pub fn start<F>(workers: usize, send: impl Fn() -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<Reply, String>> + Send,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let workers = (0..workers).map(|_| {
            let (stop, done, send) = (Arc::clone(&stop), Arc::clone(&done), send.clone());
            async move {
                let mut tally = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    tally.add(send().await);
                    done.fetch_add(1, Ordering::Relaxed);
                    // On a connection that is refused at once, everything else needs a turn too.
                    tokio::task::yield_now().await;
                }
                tally
            }
        });
        Self {
            workers: workers.collect(),
            stop,
            done,
        }
    }

    /// Waits until that many more requests have been answered.
    pub async fn more(&self, count: u64) {
        let goal = self.done.load(Ordering::Relaxed) + count;
        wait_until(
            &format!("{count} more requests under load were answered"),
            || async { self.done.load(Ordering::Relaxed) >= goal },
        )
        .await;
    }

    /// Stops, and tells what came of it all.
    pub async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for tally in self.workers.join_all().await {
            all.merge(tally);
        }
        all
    }
}
