use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use tempfile::TempDir;

use super::super::fingerprint::sha256;
use super::record::from_milliseconds;
use super::*;

mod damage;
mod death;
mod model;

/// A data directory, and the contents that a service may have.
pub(super) struct Fixture {
    data: TempDir,
}

/// The components of releases that share one have the same text.
fn component_of(number: u8) -> String {
    format!("component {}", number % 5).repeat(1 + usize::from(number % 5) * 50)
}

fn manifest_of(number: u8) -> Option<String> {
    (!number.is_multiple_of(3)).then(|| format!("# manifest {}", number / 5))
}

fn content(number: u8) -> Fingerprint {
    Fingerprint {
        component: sha256(component_of(number).as_bytes()),
        manifest: manifest_of(number).map(|text| sha256(text.as_bytes())),
    }
}

fn time(second: u32) -> SystemTime {
    from_milliseconds(1_764_180_000_000 + u64::from(second) * 1000)
}

fn name() -> ServiceName {
    "login".parse().unwrap()
}

fn pin_of(seen: u8, run: u64, why: Why) -> Pin {
    Pin {
        seen: content(seen),
        run,
        why,
        taken_back: None,
        reason: "it crashed".into(),
        at: time(99),
    }
}

impl Fixture {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        Self { data }
    }

    fn open(&self, keep: usize) -> Releases {
        Releases::open(self.data.path(), NonZeroUsize::new(keep).unwrap()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.data.path().join("releases/login")
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

impl Releases {
    fn take(&self, number: u8, state: State) -> Result<u64, Error> {
        let component = component_of(number);
        let manifest = manifest_of(number);
        let release = Accepted {
            content: &content(number),
            component: Source::Bytes(component.as_bytes()),
            manifest: manifest.as_deref(),
            state,
            at: time(number.into()),
        };
        self.accept(&name(), release)
    }

    fn live(&self, number: u8) -> u64 {
        self.take(number, State::Live).unwrap()
    }

    fn states(&self) -> Vec<(u64, State)> {
        let list = self.list(&name()).into_iter();
        list.map(|r| (r.revision, r.state)).collect()
    }

    fn before(&self, revision: u64) -> Option<u64> {
        self.previous(&name(), revision).map(|r| r.revision)
    }
}

fn is_of(file: &str, ending: &str) -> bool {
    Path::new(file).extension().is_some_and(|e| e == ending)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_was_accepted_can_be_run_again_after_a_restart() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    for number in 0..8 {
        assert_eq!(releases.live(number), u64::from(number) + 1);
    }
    let list = releases.list(&name());
    let again = fixture.open(10);
    assert_eq!(again.list(&name()), list);
    for number in 0..8 {
        let kept = again.load(&name(), u64::from(number) + 1).unwrap();
        assert_eq!(kept.record.content, content(number));
        assert_eq!(kept.component, component_of(number).as_bytes());
        assert_eq!(kept.manifest, manifest_of(number));
        let manifest = again.manifest(&name(), u64::from(number) + 1).unwrap();
        assert_eq!(manifest, manifest_of(number));
    }
    let components = fixture.names();
    let components = components.iter().filter(|name| is_of(name, "wasm"));
    assert_eq!(components.count(), 5, "releases share components");
}

#[test]
fn the_same_content_is_the_same_release() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    assert_eq!(
        (releases.live(0), releases.live(1), releases.live(0)),
        (1, 2, 1)
    );
    assert_eq!(releases.states(), [(1, State::Live), (2, State::Kept)]);
    assert_eq!(releases.before(1), Some(2), "that was live until now");
    assert_eq!(releases.before(2), None, "a rollback never goes in circles");
    assert_eq!(releases.live(2), 3);
}

#[test]
fn what_is_live_already_is_not_written_again() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(1);
    let index = fixture.path().join("index.json");
    fs::write(&index, "not ours").unwrap();
    releases.live(1);
    assert_eq!(fs::read(&index).unwrap(), b"not ours");
    releases.live(2);
    assert_ne!(fs::read(&index).unwrap(), b"not ours");
}

#[test]
fn rollbacks_step_back_one_at_a_time() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    for number in 0..8 {
        releases.live(number);
    }
    for (from, to) in [(8, 7), (7, 6), (6, 5)] {
        assert_eq!(releases.before(from), Some(to));
        releases.pin(&name(), pin_of(7, to, Why::Operator)).unwrap();
        assert_eq!(
            releases.states()[usize::try_from(8 - to).unwrap()],
            (to, State::Live)
        );
    }
    assert!(
        releases.states()[..3]
            .iter()
            .all(|(_, s)| *s == State::Kept)
    );
    releases.live(8);
    assert_eq!(releases.before(9), Some(5), "not to those that were left");
    assert_eq!(releases.before(5), Some(4));
    assert_eq!(
        releases.before(8),
        Some(7),
        "named again, it knows its place"
    );
    assert_eq!(releases.before(1), None);
    assert_eq!(releases.before(77), None);
}

#[test]
fn a_release_that_was_taken_back_is_stepped_over() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    for number in 0..3 {
        releases.live(number);
    }
    releases.pin(&name(), pin_of(2, 2, Why::TakenBack)).unwrap();
    releases.pin(&name(), pin_of(2, 1, Why::TakenBack)).unwrap();
    let list = releases.list(&name());
    assert_eq!(list[0].state, State::TakenBack);
    assert_eq!(list[0].note.as_deref(), Some("it crashed"));
    assert_eq!(releases.before(3), Some(1), "2 was taken back as well");
    assert_eq!(releases.live(2), 3);
    assert_eq!(
        releases.list(&name())[0].note,
        None,
        "it has another chance"
    );
    assert_eq!(releases.before(3), Some(1));
}

#[test]
fn a_canary_or_a_held_release_leaves_what_is_live_alone() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(0);
    releases.take(1, State::Held).unwrap();
    releases.take(2, State::Canary).unwrap();
    let canary = [(3, State::Canary), (2, State::Kept), (1, State::Live)];
    assert_eq!(releases.states(), canary, "its file is no longer there");
    releases.take(0, State::Held).unwrap();
    assert_eq!(releases.states(), canary, "it is live already");
    releases.mark(&name(), 3, State::Live, None).unwrap();
    assert_eq!(releases.before(3), Some(1));

    releases.take(3, State::Canary).unwrap();
    releases.pin(&name(), pin_of(3, 3, Why::TakenBack)).unwrap();
    assert_eq!(
        releases.states()[..2],
        [(4, State::TakenBack), (3, State::Live)]
    );
    releases.take(4, State::Held).unwrap();
    releases.pin(&name(), pin_of(3, 1, Why::Operator)).unwrap();
    releases.mark(&name(), 5, State::Live, None).unwrap();
    assert_eq!(
        releases.before(5),
        Some(1),
        "what was live when it went live"
    );
    assert_eq!(releases.pinned(&name()), None);
    assert!(matches!(
        releases.mark(&name(), 99, State::Live, None),
        Err(Error::Unknown { revision: 99, .. })
    ));
}

#[test]
fn decisions_survive_a_restart_and_end_with_another_file() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    assert!(!releases.frozen(&name()));
    releases.freeze(&name(), true).unwrap();
    releases.live(0);
    releases.live(1);
    let pin = pin_of(1, 1, Why::Operator);
    releases.pin(&name(), pin.clone()).unwrap();
    let again = fixture.open(10);
    assert!(again.frozen(&name()));
    assert_eq!(again.pinned(&name()), Some(pin.clone()));
    assert!(pin.holds(&content(1)) && !pin.holds(&content(2)));
    again.take(2, State::Held).unwrap();
    assert_eq!(
        again.pinned(&name()),
        Some(pin.clone()),
        "nothing else runs yet"
    );
    again.take(2, State::Live).unwrap();
    assert_eq!(again.pinned(&name()), None);

    again.pin(&name(), pin.clone()).unwrap();
    again.live(0);
    assert_eq!(again.pinned(&name()), None, "its file is what it runs");
    again.pin(&name(), pin).unwrap();
    again.unpin(&name()).unwrap();
    again.freeze(&name(), false).unwrap();
    let again = fixture.open(10);
    assert_eq!(again.pinned(&name()), None);
    assert!(!again.frozen(&name()));
}

#[test]
fn the_oldest_go_but_for_those_that_are_needed() {
    let fixture = Fixture::new();
    let releases = fixture.open(2);
    releases.live(0);
    releases.live(1);
    for number in 2..9 {
        let revision = releases.take(number, State::Held).unwrap();
        assert_eq!(
            releases.states(),
            [(revision, State::Held), (2, State::Live), (1, State::Kept)],
            "what runs, what a rollback goes to, and what waits"
        );
    }
    releases.live(9);
    assert_eq!(releases.states(), [(10, State::Live), (2, State::Kept)]);
    assert_eq!(fixture.names().len(), 1 + 2 + 1, "one has a manifest");
    assert_eq!(releases.live(0), 11, "a revision is not used again");
}

#[test]
fn a_release_is_found_by_its_revision_or_its_digest() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    let find = |text: &str| releases.find(&name(), text);
    assert_eq!(find("1").unwrap_err(), FindError::Empty(name()));
    for number in [0, 1, 5] {
        releases.live(number);
    }
    let digest = content(0).component;
    assert_eq!(content(5).component, digest);
    assert_eq!(find("2").unwrap().revision, 2);
    assert_eq!(
        find(&digest[..6]).unwrap().revision,
        3,
        "the newest of them"
    );
    assert_eq!(find(&digest.to_uppercase()).unwrap().revision, 3);
    let short = find(&format!("{}f", &digest[..4])).unwrap_err();
    assert!(matches!(short, FindError::TooShort { .. }), "{short}");
    for text in [
        "4",
        "0",
        "",
        "ffffffffff",
        "latest",
        "-1",
        "99999999999999999999",
    ] {
        let error = find(text).unwrap_err();
        let expected = if text.is_empty() {
            "too short"
        } else {
            "no release is"
        };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("kept: 3 ({}), 2 (", &digest[..12]))
        );
    }
}

#[test]
fn files_and_directories_are_private() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(1);
    let all_private = || {
        assert_eq!(mode(fixture.path().parent().unwrap()), 0o700);
        assert_eq!(mode(&fixture.path()), 0o700);
        for file in fixture.names() {
            assert_eq!(mode(&fixture.path().join(&file)), 0o600, "{file}");
        }
    };
    assert_eq!(fixture.names().len(), 3);
    all_private();

    // as a copy of it may be
    fs::set_permissions(fixture.path(), Permissions::from_mode(0o755)).unwrap();
    for file in fixture.names() {
        let file = fixture.path().join(file);
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    fixture.open(10).load(&name(), 1).unwrap();
    all_private();

    fs::set_permissions(fixture.path(), Permissions::from_mode(0o777)).unwrap();
    let again = fixture.open(10);
    assert_eq!(again.list(&name()), []);
    let error = again.take(1, State::Live).unwrap_err().to_string();
    assert!(
        error.contains("others may write to it (its mode is 777)"),
        "{error}"
    );
    fs::set_permissions(fixture.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(again.live(2), 2, "it is looked at again");
}

#[test]
fn a_file_is_copied_and_must_be_the_one_that_was_judged() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    let (content, component) = (content(0), component_of(0));
    let file = fixture.data.path().join("login.wasm");
    let accept = |file: &Path, manifest| {
        let component = Source::File(file);
        let (state, at, content) = (State::Live, time(0), &content);
        let release = Accepted {
            content,
            component,
            manifest,
            state,
            at,
        };
        releases.accept(&name(), release)
    };
    assert!(matches!(
        accept(&file, None),
        Err(Error::Io { what: "read", .. })
    ));
    fs::write(&file, "another one").unwrap();
    assert!(matches!(
        accept(&file, None),
        Err(Error::Changed {
            what: "component",
            ..
        })
    ));
    assert!(matches!(
        accept(fixture.data.path(), None),
        Err(Error::Io { .. })
    ));
    assert_eq!(fixture.names(), [""; 0]);

    fs::write(&file, &component).unwrap();
    assert!(matches!(
        accept(&file, Some("")),
        Err(Error::Changed {
            what: "manifest",
            ..
        })
    ));
    let link = fixture.data.path().join("link.wasm");
    symlink(&file, &link).unwrap();
    assert_eq!(accept(&link, None).unwrap(), 1);
    fs::write(&file, "changed in its place").unwrap();
    assert_eq!(
        releases.load(&name(), 1).unwrap().component,
        component.as_bytes()
    );
}

#[test]
fn a_digest_that_is_none_becomes_no_file() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    let content = Fingerprint {
        component: "../../escaped".into(),
        manifest: None,
    };
    let release = Accepted {
        content: &content,
        component: Source::Bytes(b""),
        manifest: None,
        state: State::Live,
        at: time(0),
    };
    assert!(matches!(
        releases.accept(&name(), release),
        Err(Error::Changed { .. })
    ));
}

#[test]
fn a_service_that_is_gone_for_long_is_forgotten() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(1);
    releases.live(2);
    let (present, none) = (BTreeSet::from([name()]), BTreeSet::new());
    let days = |days: u64| time(0) + Duration::from_hours(24 * days);
    assert_eq!(releases.sweep(&present, days(400)).unwrap(), 0);
    assert_eq!(
        releases.sweep(&none, days(800)).unwrap(),
        0,
        "gone from now on"
    );
    let releases = fixture.open(10);
    assert_eq!(releases.sweep(&none, days(889)).unwrap(), 0);
    assert_eq!(releases.live(2), 2, "it came back");
    assert_eq!(releases.sweep(&none, days(900)).unwrap(), 0);
    assert_eq!(releases.sweep(&present, days(980)).unwrap(), 0);
    assert_eq!(releases.sweep(&none, days(999)).unwrap(), 0);
    assert_eq!(releases.sweep(&none, days(1089)).unwrap(), 1);
    assert!(!fixture.path().exists());
    assert_eq!(releases.list(&name()), []);
    assert_eq!(releases.sweep(&none, days(2000)).unwrap(), 0);
    assert_eq!(releases.live(3), 1);
    assert_eq!(fixture.open(10).states(), [(1, State::Live)]);
}
