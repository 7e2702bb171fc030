//! The quarantine of one release, as the dispatcher asks it.

use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Admission, Evidence, Fingerprint, Limits, Quarantine, Suspicion, Watch};
use crate::dispatch::{Job, Line};
use crate::service::exit::{Death, InstanceId};

/// See the module.
pub struct Ward {
    watch: Arc<Watch>,
    /// `None` if the manifest wants none.
    quarantine: Option<Mutex<Quarantine>>,
    born: Instant,
}

/// A try of a request under suspicion. Dropping it without a verdict says that it told nothing.
pub(in crate::service) struct Trial<'a> {
    ward: &'a Ward,
    print: Fingerprint,
    open: bool,
}

impl Ward {
    /// One whose first quarantine lasts so long; zero for none.
    pub fn new(first: Duration) -> Self {
        let limits = Limits {
            first,
            ..Limits::default()
        };
        let quarantine = Quarantine::new(limits, RandomState::new());
        Self {
            watch: quarantine.watch(),
            quarantine: (!first.is_zero()).then(|| Mutex::new(quarantine)),
            born: Instant::now(),
        }
    }

    /// Whether a request that has just come would be refused, and until when.
    pub(in crate::service) fn refuses(&self, job: &Job) -> Option<Duration> {
        let print = self.suspect(job)?;
        let mut quarantine = self.quarantine.as_ref()?.lock();
        quarantine.refuses(self.born.elapsed(), &print)
    }

    /// Lets a request run that has got its place: under observation if it is under suspicion.
    ///
    /// # Errors
    ///
    /// It may not run; when to come back.
    pub(in crate::service) fn admit(&self, job: &Job) -> Result<Option<Trial<'_>>, Duration> {
        let (Some(print), Some(quarantine)) = (self.suspect(job), &self.quarantine) else {
            return Ok(None);
        };
        match quarantine.lock().admit(self.born.elapsed(), &print) {
            Admission::Refuse { retry_after } => Err(retry_after),
            Admission::Pass | Admission::Probe => Ok(Some(Trial {
                ward: self,
                print,
                open: true,
            })),
        }
    }

    /// An instance died under a request; `left` of its time was left when the try began, of `all`. Tells if it
    /// is quarantined for that, and what it is.
    pub(in crate::service) fn died(
        &self,
        job: &Job,
        instance: InstanceId,
        death: Death,
        (left, all): (Duration, Duration),
    ) -> Option<String> {
        let quarantine = self.quarantine.as_ref()?;
        let print = self.print(job)?;
        let suspicion = Suspicion {
            now: self.born.elapsed(),
            instance,
            death,
            hindered: left < all.mul_f64(0.9),
        };
        let line = Line::new(&job.head);
        let quarantined = quarantine.lock().died(&print, &line, &suspicion);
        quarantined.then(|| format!("{line} ended one instance after the other; requests like it are refused for a while"))
    }

    /// What is held against whom, the latest first.
    pub fn evidence(&self) -> Vec<(Evidence, Duration)> {
        let now = self.born.elapsed();
        let Some(quarantine) = &self.quarantine else {
            return Vec::new();
        };
        let evidence = quarantine.lock().evidence();
        let left = |held: &Evidence| held.until.unwrap_or_default().saturating_sub(now);
        evidence
            .into_iter()
            .map(|held| {
                let left = left(&held);
                (held, left)
            })
            .collect()
    }

    /// The fingerprint of a request whose like has killed.
    fn suspect(&self, job: &Job) -> Option<Fingerprint> {
        let known = !self.watch.is_quiet() && self.watch.knows(&job.head.method, target(job));
        known.then(|| self.print(job)).flatten()
    }

    /// `None` for a request whose body is not all here, of which nobody can say that it is the same.
    fn print(&self, job: &Job) -> Option<Fingerprint> {
        let body = job.body.whole()?;
        Some(self.watch.fingerprint(&job.head.method, target(job), body))
    }
}

fn target(job: &Job) -> &str {
    let target = job.head.uri.path_and_query();
    target.map_or("/", |target| target.as_str())
}

impl Trial<'_> {
    /// The request was answered: it is no poison.
    pub(in crate::service) fn answered(mut self) {
        self.open = false;
        if let Some(quarantine) = &self.ward.quarantine {
            quarantine.lock().succeeded(&self.print);
        }
    }

    /// The instance died, which [`Ward::died`] is told.
    pub(in crate::service) fn died(mut self) {
        self.open = false;
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.open
            && let Some(quarantine) = &self.ward.quarantine
        {
            quarantine.lock().withdrawn(&self.print);
        }
    }
}
