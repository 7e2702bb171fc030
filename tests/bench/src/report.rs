//! The results as Markdown: printed as they come, and kept in a file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wharf_tests::build::root;

use crate::options::Options;

pub(crate) struct Report {
    text: String,
    file: PathBuf,
}

impl Report {
    /// Begins a file of that name where the options want the results.
    pub(crate) fn begin(options: &Options, name: &str, title: &str) -> Result<Self> {
        let dir = directory(options);
        fs::create_dir_all(&dir)?;
        let mut report = Self {
            text: String::new(),
            file: dir.join(name),
        };
        report.add(&format!("# {title}\n"))?;
        Ok(report)
    }

    /// Adds a part, and keeps what there is so far: a long run that is broken off isn't lost.
    pub(crate) fn add(&mut self, part: &str) -> Result<()> {
        println!("{part}");
        self.text += part;
        self.text += "\n";
        write(&self.file, self.text.trim_end())
    }
}

/// Writes one of the results beside the others.
pub(crate) fn write_beside(options: &Options, name: &str, text: &str) -> Result<()> {
    write(&directory(options).join(name), text)
}

fn directory(options: &Options) -> PathBuf {
    let default = || root().join("tests/bench/results");
    options.out.clone().unwrap_or_else(default)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, format!("{text}\n"))
        .with_context(|| format!("{} cannot be written", file.display()))
}

/// Things to know, as a list.
pub(crate) fn list(notes: &[String]) -> String {
    let mut list = String::new();
    for note in notes {
        list += "- ";
        list += note;
        list += "\n";
    }
    list
}

/// An error in one line.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}
