//! `wharf new`: a service to begin with.
//!
//! What it writes is a cargo workspace with one guest, which `wharf dev` builds and serves as it is. All
//! of it is in this program.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::check::possible_name;
use crate::config::ServiceName;

/// What `new` takes.
#[derive(Args)]
#[command(
    after_help = "The directory becomes a cargo workspace with one service, of the directory's name.\n\n\
    Examples:\n  wharf new hello\n  wharf new services/shop"
)]
pub(super) struct Arguments {
    /// The directory, made if it is missing; its name is the service's
    #[arg(value_name = "NAME")]
    directory: PathBuf,
}

/// The files, and what is in them. `{{name}}` stands for the service's name, `{{artifact}}` for what cargo
/// calls what it builds.
const FILES: [(&str, &str); 12] = [
    ("Cargo.toml", include_str!("new/template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("new/template/lib.rs.in")),
    ("src/service.rs", include_str!("new/template/service.rs.in")),
    ("{{name}}.toml", MANIFEST),
    ("wit/world.wit", include_str!("new/template/world.wit")),
    (
        "wit/deps/keyvalue/atomic.wit",
        include_str!("../../../wit/deps/keyvalue/atomic.wit"),
    ),
    (
        "wit/deps/keyvalue/batch.wit",
        include_str!("../../../wit/deps/keyvalue/batch.wit"),
    ),
    (
        "wit/deps/keyvalue/store.wit",
        include_str!("../../../wit/deps/keyvalue/store.wit"),
    ),
    (
        "wit/deps/keyvalue/watch.wit",
        include_str!("../../../wit/deps/keyvalue/watch.wit"),
    ),
    (
        "wit/deps/keyvalue/world.wit",
        include_str!("../../../wit/deps/keyvalue/world.wit"),
    ),
    (".gitignore", include_str!("new/template/gitignore.in")),
    ("README.md", include_str!("new/template/README.md.in")),
];

/// The manifest, with every key that there is.
const MANIFEST: &str = include_str!("new/template/manifest.toml.in");

/// Names that cargo gives no package, or that are those of what the service is made with.
const TAKEN: [&str; 50] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "http",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "wit-bindgen",
    "wstd",
];

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let directory = &arguments.directory;
    let name = name(directory)?;
    write(directory, &name)?;
    // whoever doesn't read it will find their way
    let _ = io::stdout().write_all(next(directory, &name).as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// The service's name, which a directory and a package can have as well.
fn name(directory: &Path) -> Result<ServiceName> {
    let text = directory.file_name().unwrap_or_default().to_string_lossy();
    let name = match (ServiceName::parse(&text), possible_name(&text)) {
        (Ok(name), _) => name,
        (Err(error), Some(other)) => bail!("{error}; try `wharf new {other}`"),
        (Err(error), None) => bail!("{error}; try `wharf new hello`"),
    };
    let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
    if starts_with_digit || TAKEN.contains(&name.as_str()) {
        bail!(
            "\"{name}\" can be the name of a service, but of no package of cargo's; try `wharf new my-{name}`, \
             and deploy it as {name}.wasm"
        );
    }
    Ok(name)
}

/// Writes all files into a directory that is empty, or missing.
fn write(directory: &Path, name: &ServiceName) -> Result<()> {
    let shown = directory.display();
    match fs::read_dir(directory) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{shown} is there already, and not empty; choose another name, or empty it");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{shown} is there already, and no directory; choose another name");
        }
        Err(error) => return Err(error).with_context(|| format!("{shown} can't be read")),
    }
    for (file, text) in FILES {
        let path = directory.join(filled(file, name));
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, filled(text, name)))
            .with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}

fn filled(text: &str, name: &ServiceName) -> String {
    text.replace("{{name}}", name.as_str())
        .replace("{{artifact}}", &name.as_str().replace('-', "_"))
}

/// What there is now, and what to do next.
fn next(directory: &Path, name: &ServiceName) -> String {
    let directory = directory.display();
    format!(
        "{directory} is a service that counts. What to do next:\n\n  cd {directory}\n  wharf dev\n\n\
         It is then at http://localhost:8080/{name}; {name}.toml is its manifest.\n"
    )
}

#[cfg(test)]
mod tests;
