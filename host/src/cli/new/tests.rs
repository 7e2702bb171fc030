use std::collections::BTreeSet;

use super::*;
use crate::config::{Config, Manifest};

fn service() -> ServiceName {
    ServiceName::parse("my-shop").unwrap()
}

/// Why a manifest is refused.
fn refused(text: &str) -> String {
    Manifest::parse(
        &service(),
        Path::new("my-shop.toml"),
        text,
        &Config::default(),
    )
    .unwrap_err()
    .to_string()
}

/// The keys that a section of a manifest may have, as the refusal of another one names them. `None` if
/// it is no section with keys of its own.
fn keys(section: &str) -> Option<Vec<String>> {
    let text = match section {
        "" => "no_such_key = 1".to_owned(),
        section => format!("[{section}]\nno_such_key = 1"),
    };
    let refusal = refused(&text);
    let (_, allowed) = refusal.split_once("unknown key; allowed here: ")?;
    let at = if section.is_empty() { "" } else { "." };
    let full = |key: &str| format!("{section}{at}{key}");
    Some(allowed.split(", ").map(full).collect())
}

/// All keys that a manifest may have, sections included.
fn all_keys() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut open = keys("").unwrap();
    while let Some(key) = open.pop() {
        // `keys` of what is no section is that of what it is in
        let inner = keys(&key).unwrap_or_default();
        open.extend(inner.into_iter().filter(|inner| inner.starts_with(&key)));
        all.insert(key);
    }
    all
}

/// The manifest with the signs of its comments removed where they hide a key.
fn complete() -> String {
    let lines = filled(MANIFEST, &service());
    let shown = lines.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
        _ => line,
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn parse(text: &str) -> Manifest {
    let file = Path::new("my-shop.toml");
    Manifest::parse(&service(), file, text, &Config::default()).unwrap()
}

#[test]
fn the_manifest_names_every_key_there_is() {
    let all = all_keys();
    for known in [
        "routes",
        "limits.memory",
        "grants.config",
        "restart.cooldown",
    ] {
        assert!(all.contains(known), "{known} is not in {all:?}");
    }
    let table: toml::Table = complete().parse().unwrap();
    for key in &all {
        let mut parts = key.split('.');
        let first = table.get(parts.next().unwrap());
        let found = parts.fold(first, |value, part| value?.get(part));
        assert!(found.is_some(), "{key} is missing in the template");
    }
}

#[test]
fn the_manifest_says_the_defaults() {
    let mut complete = parse(&complete());
    let mut default = Manifest::default_for(&service(), &Config::default());
    assert_eq!(complete.grants.services.len(), 1, "examples are there");
    // these have no default, or one that depends on the component
    default.default_routes = false;
    default.grants = complete.grants.clone();
    assert_eq!(
        complete.instances.concurrency.take().map(usize::from),
        Some(1)
    );
    let retire = complete.instances.max_memory_before_retire.take();
    assert_eq!(retire, Some(default.limits.memory / 4 * 3));
    let rollout = complete.rollout.take().unwrap();
    assert_eq!(rollout.lasts, crate::config::Rollout::LASTS);
    assert_eq!(rollout.by, crate::config::Key::default());
    assert_eq!(complete, default);
}

#[test]
fn the_manifest_as_it_is_grants_the_bucket_and_nothing_else() {
    let manifest = parse(&filled(MANIFEST, &service()));
    let mut default = Manifest::default_for(&service(), &Config::default());
    default.grants.keyvalue.insert("my-shop".to_owned());
    assert_eq!(manifest, default);
}

#[test]
fn every_file_is_written_and_nothing_is_left_to_fill_in() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("my-shop");
    write(&directory, &service()).unwrap();
    for file in ["Cargo.toml", "src/lib.rs", "my-shop.toml", ".gitignore"] {
        let text = fs::read_to_string(directory.join(file)).unwrap();
        assert!(
            !text.contains("{{") || file == "src/lib.rs",
            "{file}: {text}"
        );
        for placeholder in ["{{name}}", "{{artifact}}"] {
            assert!(!text.contains(placeholder), "{file}: {text}");
        }
    }
    let readme = fs::read_to_string(directory.join("README.md")).unwrap();
    assert!(readme.contains("release/my_shop.wasm"), "{readme}");
    let cargo: toml::Table = fs::read_to_string(directory.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(cargo["package"]["name"].as_str(), Some("my-shop"));
    assert!(cargo.contains_key("workspace"));
    // unlike wit-bindgen, cargo-component finds no package by itself
    let target = &cargo["package"]["metadata"]["component"]["target"];
    let path = target["dependencies"]["wasi:keyvalue"]["path"].as_str();
    assert!(directory.join(path.unwrap()).join("world.wit").is_file());
}

#[test]
fn what_is_there_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("my-shop");
    fs::create_dir(&directory).unwrap();
    write(&directory, &service()).unwrap();
    fs::write(directory.join("src/lib.rs"), "mine").unwrap();
    let error = write(&directory, &service()).unwrap_err().to_string();
    assert!(
        error.ends_with("not empty; choose another name, or empty it"),
        "{error}"
    );
    assert_eq!(fs::read(directory.join("src/lib.rs")).unwrap(), b"mine");

    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    let error = write(&file, &service()).unwrap_err().to_string();
    assert!(error.contains("no directory"), "{error}");
}

#[test]
fn a_name_that_cannot_be_is_answered_with_one_that_can() {
    for (given, advice) in [
        ("My_Shop", "try `wharf new my-shop`"),
        ("shop.wasm", "try `wharf new shop-wasm`"),
        ("", "try `wharf new hello`"),
        ("..", "try `wharf new hello`"),
        (
            "2048",
            "try `wharf new my-2048`, and deploy it as 2048.wasm",
        ),
        ("async", "try `wharf new my-async`"),
        ("serde-json", "try `wharf new my-serde-json`"),
    ] {
        let error = name(Path::new(given)).unwrap_err().to_string();
        assert!(error.contains(advice), "{given}: {error}");
    }
    assert_eq!(name(Path::new("a/hello/")).unwrap().as_str(), "hello");
}

#[test]
fn the_next_two_commands_are_told() {
    let text = next(Path::new("services/my-shop"), &service());
    assert!(
        text.contains("\n  cd services/my-shop\n  wharf dev\n"),
        "{text}"
    );
}
