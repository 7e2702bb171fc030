//! `wharf check`

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::config::{Config, Grants, Manifest, Overrides, ServiceName};
use crate::deploy::capability::NEEDS;
use crate::wasm::{Facts, Sandbox};

/// What `check` takes.
#[derive(Args)]
#[command(
    after_help = "NAME.toml beside FILE is checked as its manifest, if it is there.\n\n\
    Exit code: 0 if this host would take it, 1 if not. That it starts as well is seen when it is \
    deployed."
)]
pub(super) struct Arguments {
    /// The component, NAME.wasm
    file: PathBuf,
    /// The settings of the server that is to take it; `wharf.toml` is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = Config::load(arguments.config.as_deref(), Overrides::default())?;
    let file = &arguments.file;
    let unread = || format!("{} can't be read", file.display());
    // a pipe would be waited for
    if !fs::metadata(file).with_context(unread)?.is_file() {
        bail!("{} is no plain file", file.display());
    }
    let bytes = fs::read(file).with_context(unread)?;
    let report = check(file, &bytes, &config)?;
    // whoever stops reading has seen enough
    let _ = io::stdout().write_all(report.to_text().as_bytes());
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All that is to be said about a file.
struct Report {
    file: PathBuf,
    /// What the service is called, or why it can't be called as the file is.
    name: Result<ServiceName, String>,
    size: usize,
    digest: String,
    /// `None` if it is no valid component.
    facts: Option<Facts>,
    /// The interfaces that other services have to export for it.
    wanted: Vec<String>,
    manifest: PathBuf,
    /// What the manifest grants; `None` if there is no manifest, or a bad one.
    grants: Option<Grants>,
    /// Why this host would not take it; empty if it would.
    problems: Vec<String>,
}

fn check(file: &Path, bytes: &[u8], config: &Config) -> Result<Report> {
    let mut problems = Vec::new();
    let most = config.deploy.max_component_size;
    if bytes.len() > most {
        problems.push(format!(
            "it has {} bytes; deploy.max_component_size allows {most}",
            bytes.len()
        ));
    }
    let sandbox = Sandbox::new(&config.sandbox)?;
    let (mut wanted, mut answers_requests) = (Vec::new(), true);
    let facts = match sandbox.compile(bytes) {
        Ok(component) => {
            let interfaces = component.contract().wanted.iter();
            wanted.extend(interfaces.map(|interface| interface.name.to_string()));
            answers_requests = component.generation.is_some();
            Some(Facts::clone(&component.facts))
        }
        Err(error) => {
            problems.push(error.to_string());
            sandbox.facts(bytes).ok()
        }
    };
    let manifest = file.with_extension("toml");
    let grants = grants(&manifest, config, answers_requests).unwrap_or_else(|error| {
        problems.push(format!("{error:#}"));
        None
    });
    if grants
        .as_ref()
        .is_none_or(|grants| grants.services.is_empty())
        && let Some(interface) = wanted.first()
    {
        problems.push(format!(
            "it imports {interface}, which another service has to export, and grants.services in its manifest \
             names none"
        ));
    }
    Ok(Report {
        file: file.to_owned(),
        name: service_name(file),
        size: bytes.len(),
        digest: crate::deploy::sha256(bytes).to_string(),
        facts,
        wanted,
        manifest,
        grants,
        problems,
    })
}

/// The name that the file would be served under. One that can't be is no fault of the component:
/// compilers write `my_service.wasm`.
fn service_name(file: &Path) -> Result<ServiceName, String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = ServiceName::parse(&stem).map_err(|error| match possible_name(&stem) {
        Some(name) => format!("{error}; deploy it as {name}.wasm"),
        None => format!("{error}; deploy it under another"),
    })?;
    if file.extension().is_none_or(|extension| extension != "wasm") {
        return Err(format!("only *.wasm is deployed; deploy it as {name}.wasm"));
    }
    Ok(name)
}

/// The nearest name that a service can have.
pub(super) fn possible_name(stem: &str) -> Option<ServiceName> {
    let label = stem
        .to_ascii_lowercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    ServiceName::parse(label.trim_matches('-')).ok()
}

/// What the manifest grants; `None` if there is no manifest.
fn grants(manifest: &Path, config: &Config, answers_requests: bool) -> Result<Option<Grants>> {
    let text = match fs::read_to_string(manifest) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} can't be read", manifest.display()));
        }
    };
    // a name decides about nothing but the default route
    let stem = manifest.file_stem().unwrap_or_default().to_string_lossy();
    let name = match possible_name(&stem) {
        Some(name) => name,
        None => ServiceName::parse("service")?,
    };
    let mut parsed = Manifest::parse(&name, manifest, &text, config)?;
    if !answers_requests {
        parsed = parsed.without_requests(manifest)?;
    }
    Ok(Some(parsed.grants))
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "{label:<11} {value}");
        };
        match &self.name {
            Ok(name) => line("service", name.as_str()),
            Err(problem) => line("service", &format!("none: {problem}")),
        }
        line("file", &self.file.display().to_string());
        line("size", &format!("{} bytes", self.size));
        line("digest", &format!("sha256:{}", self.digest));
        let manifest = self.manifest.display();
        if self.manifest.exists() {
            line("manifest", &manifest.to_string());
        } else {
            line(
                "manifest",
                &format!("none ({manifest} would be it): the defaults hold"),
            );
        }
        if let Some(facts) = &self.facts {
            let speaks =
                handler(facts).map(|(generation, export)| format!("{generation}, by {export}"));
            let none = if self.problems.is_empty() {
                "it exports no handler, only functions for other services"
            } else {
                "it exports no handler"
            };
            line("wasi:http", speaks.as_deref().unwrap_or(none));
            text += &section("exports", sorted(&facts.exports));
            text += &section("imports", sorted(&facts.imports));
            text += &section("grants", self.grant_lines(facts));
        }
        text.push('\n');
        if self.problems.is_empty() {
            text += "this host takes it\n";
        }
        for problem in &self.problems {
            let _ = writeln!(text, "this host doesn't take it: {problem}");
        }
        text
    }

    /// Which grants the imports call for, and whether they are there.
    fn grant_lines(&self, facts: &Facts) -> Vec<String> {
        let none = Grants::default();
        let grants = self.grants.as_ref().unwrap_or(&none);
        let services: Vec<_> = grants.services.iter().map(ToString::to_string).collect();
        let typed = self.wanted.iter().map(|interface| {
            let state = if services.is_empty() {
                "none, it isn't taken without the service that exports it".to_owned()
            } else {
                format!("one of {} has to export it", services.join(", "))
            };
            format!("{:<16} {interface}: {state}", "grants.services")
        });
        let wanted = NEEDS.iter().filter(|need| need.is_wanted_by(facts));
        wanted
            .map(|need| {
                let given = (need.given)(grants);
                let state = if given.is_empty() {
                    format!("none, {}", need.without)
                } else {
                    given.join(", ")
                };
                format!("{:<16} {}: {state}", need.key, need.what)
            })
            .chain(typed)
            .collect()
    }
}

/// The generation of `wasi:http` that a component speaks, and the export that answers requests. One
/// that exports both is run by the newer.
fn handler(facts: &Facts) -> Option<(&'static str, &str)> {
    let find = |generation, prefix| {
        let export = facts.exports.iter().find(|name| name.starts_with(prefix))?;
        Some((generation, export.as_str()))
    };
    find("0.3", "wasi:http/handler@0.3").or_else(|| find("0.2", "wasi:http/incoming-handler@0.2"))
}

/// Sorted, and so by package.
fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

fn section(title: &str, lines: Vec<String>) -> String {
    let mut text = format!("\n{title}\n");
    if lines.is_empty() {
        text += "  none\n";
    }
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn facts(imports: &[&str], exports: &[&str]) -> Facts {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Facts {
            imports: owned(imports),
            exports: owned(exports),
        }
    }

    fn report(manifest: &str) -> Report {
        let name = ServiceName::parse("shop").unwrap();
        let grants = Manifest::parse(&name, Path::new("shop.toml"), manifest, &Config::default())
            .unwrap()
            .grants;
        Report {
            file: "shop.wasm".into(),
            name: Ok(name),
            size: 8,
            digest: "00".into(),
            facts: None,
            wanted: Vec::new(),
            manifest: "shop.toml".into(),
            grants: Some(grants),
            problems: Vec::new(),
        }
    }

    #[test]
    fn imports_call_for_grants() {
        let facts = facts(
            &[
                "wasi:keyvalue/store@0.2.0-draft2",
                "wasi:config/store@0.2.0-rc.1",
                "wasi:http/types@0.2.0",
            ],
            &[],
        );
        let lines = report("[grants]\nkeyvalue = [\"b\", \"a\"]\n").grant_lines(&facts);
        assert_eq!(lines[0], "grants.keyvalue  buckets: a, b");
        assert!(
            lines[1].starts_with("grants.config    settings: none"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2, "types alone need no grant: {lines:?}");
    }

    #[test]
    fn a_setting_is_named_and_never_shown() {
        let facts = facts(
            &["wasi:config/store@0.2.0-rc.1", "wasi:cli/environment@0.2.0"],
            &[],
        );
        let lines =
            report("[grants]\nconfig = { key = \"secret\" }\nenv = { TOKEN = \"secret\" }\n")
                .grant_lines(&facts);
        assert_eq!(lines[0], "grants.config    settings: key");
        assert_eq!(lines[1], "grants.env       environment variables: TOKEN");
    }

    #[test]
    fn both_generations_are_told() {
        let two = facts(&[], &["wasi:http/incoming-handler@0.2.7"]);
        let three = facts(&[], &["wasi:http/handler@0.3.0"]);
        assert_eq!(
            handler(&two),
            Some(("0.2", "wasi:http/incoming-handler@0.2.7"))
        );
        assert_eq!(handler(&three), Some(("0.3", "wasi:http/handler@0.3.0")));
        assert_eq!(handler(&facts(&[], &["wasi:cli/run@0.2.0"])), None);
    }

    #[test]
    fn every_reason_to_refuse_is_given() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.wasm");
        fs::write(
            directory.path().join("shop.toml"),
            "[limits]\nmemori = \"1MiB\"\n",
        )
        .unwrap();
        let report = check(&file, EMPTY_COMPONENT, &Config::default()).unwrap();
        let text = report.to_text();
        assert!(
            text.contains("this host doesn't take it: the component exports no HTTP handler"),
            "{text}"
        );
        assert!(text.contains("limits.memori: unknown key"), "{text}");
        assert!(!text.contains("this host takes it"), "{text}");
    }

    #[test]
    fn a_file_that_has_to_be_renamed_is_told_to_what() {
        for (file, advice) in [
            ("my_shop.wasm", "deploy it as my-shop.wasm"),
            ("Shop.wasm", "deploy it as shop.wasm"),
            ("shop", "deploy it as shop.wasm"),
            ("__.wasm", "deploy it under another"),
        ] {
            let error = service_name(Path::new(file)).unwrap_err();
            assert!(error.ends_with(advice), "{file}: {error}");
        }
        assert_eq!(
            service_name(Path::new("a/shop.wasm")).unwrap().as_str(),
            "shop"
        );
    }
}
