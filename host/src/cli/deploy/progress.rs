//! How far a deploy is: one line that changes on a terminal, a line for each stage elsewhere.

use tokio::time::Instant;

use super::super::api::Event;
use super::super::client::Message;
use super::super::output::Output;
use super::super::text::latency;
use crate::config::ServiceName;

/// What turns while something is done, eight times a second.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// The stage that a deploy is at.
pub(super) struct Progress {
    name: String,
    stage: &'static str,
    began: Instant,
    ticks: usize,
}

impl Progress {
    /// Says that the upload begins.
    pub(super) fn new(name: &ServiceName, out: &mut Output) -> Self {
        let mut progress = Self {
            name: name.to_string(),
            stage: "",
            began: Instant::now(),
            ticks: 0,
        };
        progress.enter("sending", out);
        progress
    }

    /// Takes what happened at the host.
    pub(super) fn event(&mut self, message: &Message, out: &mut Output) {
        let Ok(event) = serde_json::from_str::<Event>(&message.data) else {
            return;
        };
        let ours = event.kind == "deploy" && event.service.as_ref() == Some(&self.name);
        let stage = match event.stage.as_deref() {
            Some("validating") => "validating",
            Some("compiling") => "compiling",
            Some("warming") => "warming",
            Some("shifting") => "shifting",
            // the verdict is the answer's to tell
            _ => return,
        };
        if ours {
            self.enter(stage, out);
        }
    }

    /// Shows that time goes by.
    pub(super) fn tick(&mut self, out: &mut Output) {
        self.ticks += 1;
        let spinner = SPINNER[self.ticks % SPINNER.len()];
        let elapsed = self.began.elapsed().as_secs();
        let elapsed = if elapsed == 0 {
            String::new()
        } else {
            format!(" {elapsed}s")
        };
        out.progress(&format!("{spinner} {}: {}{elapsed}", self.name, self.stage));
    }

    /// Says that it went well.
    pub(super) fn done(&mut self, out: &mut Output) {
        let elapsed = latency(self.began.elapsed().as_secs_f64());
        if !out.overwrites() {
            out.step(format_args!("{}: done in {elapsed}", self.name));
        }
    }

    fn enter(&mut self, stage: &'static str, out: &mut Output) {
        if self.stage == stage {
            return;
        }
        self.stage = stage;
        if out.overwrites() {
            self.tick(out);
        } else {
            out.step(format_args!("{}: {stage}", self.name));
        }
    }
}
