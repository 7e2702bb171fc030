use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

/// The smallest service there is: it answers nothing, but it can be linked. Others have another
/// `mark`.
pub(crate) fn service(mark: &str) -> Vec<u8> {
    let text = r#"(component
        (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $response))
        (core module $module (func (export "MARK")) (func (export "handle") (param i32 i32)))
        (core instance $instance (instantiate $module))
        (func $handle
            (param "request" (own $request)) (param "response-out" (own $response))
            (canon lift (core func $instance "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;
    wat::parse_str(text.replace("MARK", mark)).unwrap()
}

struct Fixture {
    directory: TempDir,
    engine: Engine,
    code: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let engine = Engine::default();
        let code = engine.precompile_component(&service("a")).unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            engine,
            code,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("compiled")
    }

    fn cache(&self, most: u64) -> Cache {
        Cache::new(self.path(), most, &self.engine)
    }

    /// A cache that has one entry, and where that is.
    fn with_one(&self) -> (Cache, PathBuf) {
        let cache = self.cache(1 << 30);
        cache.store("one", &self.code);
        let file = self.path().join(cache.name("one"));
        (cache, file)
    }

    fn has(&self, cache: &Cache, digest: &str) -> bool {
        cache.load(digest, || Some(&self.engine)).is_some()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_stored_is_found_again_and_nothing_else_is() {
    let fixture = Fixture::new();
    let (cache, file) = fixture.with_one();
    assert!(fixture.has(&cache, "one"));
    assert!(!fixture.has(&cache, "two"));
    assert!(
        fixture.has(&fixture.cache(1 << 30), "one"),
        "after a restart"
    );
    assert_eq!(mode(&fixture.path()), 0o700);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(fixture.names().len(), 1, "no temporary file is left");
}

#[test]
fn code_for_other_settings_is_not_found() {
    let fixture = Fixture::new();
    let (_, file) = fixture.with_one();
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let other = Cache::new(fixture.path(), 1 << 30, &engine);
    assert!(other.load("one", || Some(&engine)).is_none());
    assert!(file.exists(), "the other engine may still want it");
    // one that only claims to be for these settings
    let code = &fixture.code;
    let directory = Private::open(&fixture.path()).unwrap();
    other.write(&directory, &other.name("one"), code).unwrap();
    assert!(other.load("one", || Some(&engine)).is_none());
    assert!(!fixture.path().join(other.name("one")).exists());
}

#[test]
fn an_entry_that_is_not_whole_is_removed() {
    let fixture = Fixture::new();
    let (cache, file) = fixture.with_one();
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let no_header = whole[HEADER..].to_vec();
    for bytes in [
        Vec::new(),
        whole[..HEADER - 1].to_vec(),
        whole[..HEADER].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
        flipped(0),
        flipped(HEADER - 1),
        flipped(HEADER),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
        b"garbage".repeat(1000),
        no_header,
    ] {
        fs::write(&file, &bytes).unwrap();
        assert!(!fixture.has(&cache, "one"));
        assert!(!file.exists());
    }
    cache.store("one", &fixture.code);
    assert!(fixture.has(&cache, "one"));
}

#[test]
fn an_entry_under_another_name_is_not_its_code() {
    let fixture = Fixture::new();
    let (cache, file) = fixture.with_one();
    fs::copy(file, fixture.path().join(cache.name("two"))).unwrap();
    assert!(!fixture.has(&cache, "two"));
    assert!(fixture.has(&cache, "one"));
}

#[test]
fn an_entry_that_others_could_have_written_is_removed() {
    let fixture = Fixture::new();
    let (cache, file) = fixture.with_one();
    fs::set_permissions(&file, Permissions::from_mode(0o620)).unwrap();
    assert!(!fixture.has(&cache, "one"));
    assert!(!file.exists());

    let elsewhere = fixture.directory.path().join("elsewhere");
    cache.store("one", &fixture.code);
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(!fixture.has(&cache, "one"), "links are not followed");
    assert!(!file.exists() && elsewhere.exists());
}

#[test]
fn a_directory_that_others_can_write_to_is_not_used() {
    let fixture = Fixture::new();
    let (cache, _) = fixture.with_one();
    for mode in [0o720, 0o702, 0o777] {
        fs::set_permissions(fixture.path(), Permissions::from_mode(mode)).unwrap();
        assert!(!fixture.has(&cache, "one"));
        cache.store("two", &fixture.code);
    }
    fs::set_permissions(fixture.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(fixture.has(&cache, "one"), "reading does no harm");
    assert_eq!(fixture.names().len(), 1);
}

#[test]
fn a_directory_that_is_none_of_ours_is_not_used() {
    let fixture = Fixture::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), fixture.path()).unwrap();
    let cache = fixture.cache(1 << 30);
    cache.store("one", &fixture.code);
    assert!(!fixture.has(&cache, "one"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    let system = Cache::new("/proc".into(), 1 << 30, &fixture.engine);
    system.store("one", &fixture.code);
    assert!(!fixture.has(&system, "one"));
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let fixture = Fixture::new();
    let (cache, _) = fixture.with_one();
    fs::remove_dir_all(fixture.path()).unwrap();
    assert!(!fixture.has(&cache, "one"));
    cache.store("one", &fixture.code);
    assert!(fixture.has(&cache, "one"));
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let fixture = Fixture::new();
    let (_, file) = fixture.with_one();
    let size = fs::metadata(&file).unwrap().len();
    fs::remove_file(&file).unwrap();
    let cache = fixture.cache(3 * size);
    let file = |digest: &str| fixture.path().join(cache.name(digest));
    let age = |digest: &str, seconds: u64| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = fs::File::options().append(true).open(file(digest)).unwrap();
        file.set_modified(then).unwrap();
    };
    for (digest, seconds) in [("one", 300), ("two", 200), ("three", 100)] {
        cache.store(digest, &fixture.code);
        age(digest, seconds);
    }
    // being used makes it young, and being stored again takes no further room
    assert!(fixture.has(&cache, "one"));
    cache.store("three", &fixture.code);
    assert_eq!(fixture.names().len(), 3);
    fs::write(fixture.path().join("notes.txt"), vec![0; 100_000]).unwrap();
    fs::write(fixture.path().join(format!("x{PART}")), "torn").unwrap();
    cache.store("four", &fixture.code);
    assert!(!file("two").exists(), "{:?}", fixture.names());
    assert!(!fixture.path().join(format!("x{PART}")).exists());
    for digest in ["one", "three", "four"] {
        assert!(fixture.has(&cache, digest), "{digest}");
    }
    assert!(fixture.path().join("notes.txt").exists(), "not ours");

    let small = fixture.cache(size - 1);
    small.store("five", &fixture.code);
    assert!(!file("five").exists(), "alone it is too large");
    assert_eq!(fixture.names().len(), 4, "and nothing made room for it");
}
