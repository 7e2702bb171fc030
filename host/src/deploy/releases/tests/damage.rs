//! What an end of the process, a disk or a stranger may leave.

use super::*;

/// Makes a file what it should not be.
type Spoil = fn(&Path);

fn digest_file(number: u8) -> String {
    format!("{}.wasm", content(number).component)
}

#[test]
fn leftovers_are_removed_and_what_is_not_ours_is_left() {
    let fixture = Fixture::new();
    fixture.open(10).live(1);
    let names = fixture.names();
    let list = fixture.open(10).list(&name());
    let leftovers = [
        format!("{}.part", digest_file(2)),
        format!("{}.part", digest_file(1)),
        digest_file(3),
        format!("{}.toml", content(5).manifest.unwrap()),
        "index.json.part".to_owned(),
        "index.json.damaged.part".to_owned(),
    ];
    for file in &leftovers {
        fs::write(fixture.path().join(file), "half of").unwrap();
    }
    symlink("/etc/passwd", fixture.path().join(digest_file(4))).unwrap();
    let foreign = ["README", "a.wasm", ".hidden"];
    for file in foreign {
        fs::write(fixture.path().join(file), "not ours").unwrap();
    }
    let releases = fixture.open(10);
    assert_eq!(releases.list(&name()), list);
    let mut expected = names;
    expected.extend(foreign.map(str::to_owned));
    expected.sort();
    assert_eq!(fixture.names(), expected);
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn what_lies_beside_the_services_is_left_alone() {
    let fixture = Fixture::new();
    fixture.open(10).live(1);
    let top = fixture.path().parent().unwrap().to_owned();
    fs::write(top.join("file"), "no directory").unwrap();
    fs::create_dir(top.join("Not_A_Service")).unwrap();
    fs::create_dir(top.join("blank")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join(digest_file(1));
    fs::write(&kept, "outside").unwrap();
    symlink(outside.path(), top.join("link")).unwrap();
    let releases = fixture.open(10);
    assert_eq!(releases.states(), [(1, State::Live)]);
    assert!(kept.exists() && top.join("Not_A_Service").exists());
    assert!(!top.join("blank").exists(), "an empty one is a leftover");
    let error = releases.freeze(&"link".parse().unwrap(), true).unwrap_err();
    assert!(error.to_string().contains("it is no directory"), "{error}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_link_is_no_store() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), fixture.data.path().join("releases")).unwrap();
    let opened = Releases::open(fixture.data.path(), NonZeroUsize::MIN);
    assert!(matches!(opened, Err(Error::Refused { .. })));
}

#[test]
fn files_that_are_not_what_they_were_are_refused_and_mended_by_the_next_deploy() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(1);
    releases.live(3);
    let component = fixture.path().join(digest_file(1));
    let manifest = content(1).manifest.unwrap();
    let manifest = fixture.path().join(format!("{manifest}.toml"));
    let spoil: [(&str, Spoil); 6] = [
        ("is gone", |file| fs::remove_file(file).unwrap()),
        ("is damaged", |file| fs::write(file, "").unwrap()),
        ("is damaged", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[3] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("bytes", |file| {
            fs::OpenOptions::new()
                .write(true)
                .open(file)
                .unwrap()
                .set_len(1 << 40)
                .unwrap();
        }),
        ("no plain file", |file| {
            fs::remove_file(file).unwrap();
            symlink("/etc/passwd", file).unwrap();
        }),
        ("no plain file", |file| {
            fs::remove_file(file).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                file,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .unwrap();
        }),
    ];
    for (reason, spoil) in spoil {
        for file in [&component, &manifest] {
            spoil(file);
            let error = releases.load(&name(), 1).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(releases.live(1), 1);
            releases.load(&name(), 1).unwrap();
            assert_eq!(releases.live(3), 2);
        }
    }
}

#[test]
fn a_store_that_was_removed_is_made_again() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(1);
    releases.live(2);
    fs::remove_dir_all(fixture.path().parent().unwrap()).unwrap();
    let error = releases.load(&name(), 2).unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
    assert_eq!(releases.live(2), 2);
    let again = fixture.open(10);
    assert_eq!(
        again.load(&name(), 2).unwrap().component,
        component_of(2).as_bytes()
    );
}

#[test]
fn a_damaged_index_is_set_aside_and_rebuilt_as_far_as_it_goes() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    for number in 0..4 {
        releases.live(number);
    }
    releases.pin(&name(), pin_of(3, 2, Why::Operator)).unwrap();
    releases.freeze(&name(), true).unwrap();
    let index = fixture.path().join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    let cut = &text[..text.len() - 20];
    fs::write(&index, cut).unwrap();
    let again = fixture.open(10);
    assert_eq!(
        again.states(),
        [(3, State::Kept), (2, State::Live), (1, State::Kept)],
        "all but the last line"
    );
    assert_eq!(again.pinned(&name()), releases.pinned(&name()));
    assert!(again.frozen(&name()));
    let aside = fixture.path().join("index.json.damaged");
    assert_eq!(fs::read_to_string(&aside).unwrap(), cut);
    assert_eq!(mode(&aside), 0o600);
    assert_eq!(fixture.open(10).states(), again.states(), "it is sound now");
    assert_eq!(again.live(4), 5, "no revision is used again");
    again.load(&name(), 2).unwrap();
}

#[test]
fn without_an_index_components_are_kept_if_no_release_had_a_manifest() {
    for spoil in [
        b"".as_slice(),
        b"garbage",
        b"[]",
        b"{\"version\":0}",
        &[0; 4096],
    ] {
        let fixture = Fixture::new();
        let releases = fixture.open(10);
        // neither has a manifest
        releases.live(0);
        releases.live(3);
        let old = fs::File::open(fixture.path().join(digest_file(0))).unwrap();
        old.set_modified(time(0)).unwrap();
        let index = fixture.path().join("index.json");
        fs::write(&index, spoil).unwrap();
        fs::write(fixture.path().join(digest_file(4)), "not what it says").unwrap();
        let again = fixture.open(10);
        let list = again.list(&name());
        let contents: Vec<_> = list.iter().map(|r| r.content.clone()).collect();
        assert_eq!(contents, [content(3), content(0)]);
        assert!(
            list.iter()
                .all(|r| r.revision > 1000 && r.state == State::Kept)
        );
        assert!(!fixture.path().join(digest_file(4)).exists());
        assert_eq!(again.live(3), list[0].revision);
        assert_eq!(again.before(list[0].revision), Some(list[1].revision));

        again.live(1);
        fs::write(&index, spoil).unwrap();
        let again = fixture.open(10);
        assert_eq!(again.list(&name()), [], "which had the manifest?");
        assert!(again.live(1) > 1000);
    }
}

#[test]
fn an_index_that_is_no_file_is_set_aside() {
    let fixture = Fixture::new();
    fixture.open(10).live(0);
    let index = fixture.path().join("index.json");
    fs::remove_file(&index).unwrap();
    symlink("/etc/passwd", &index).unwrap();
    assert_eq!(fixture.open(10).list(&name()).len(), 1);
    assert!(fs::symlink_metadata(&index).unwrap().is_file());
    assert!(fixture.path().join("index.json.damaged").is_symlink());
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    fs::remove_file(fixture.path().join("index.json.damaged")).unwrap();
    assert_eq!(fixture.open(10).list(&name()).len(), 1);
    assert!(fixture.path().join("index.json.damaged").is_dir());
}

#[test]
fn the_index_of_a_newer_version_is_not_touched() {
    let fixture = Fixture::new();
    fixture.open(10).live(1);
    let index = fixture.path().join("index.json");
    let newer = fs::read_to_string(&index)
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    fs::write(&index, &newer).unwrap();
    let names = fixture.names();
    let again = fixture.open(10);
    assert_eq!(again.list(&name()), []);
    let error = again.take(2, State::Live).unwrap_err();
    assert!(matches!(error, Error::Newer { version: 2, .. }), "{error}");
    assert_eq!(fs::read_to_string(&index).unwrap(), newer);
    assert_eq!(fixture.names(), names);
}

#[test]
fn a_directory_that_cant_be_written_is_an_error_and_changes_nothing() {
    let fixture = Fixture::new();
    let releases = fixture.open(10);
    releases.live(1);
    let list = releases.list(&name());
    // also the superuser can't write a file where a directory is
    let blocked = fixture.path().join("index.json.part");
    fs::create_dir(&blocked).unwrap();
    let error = releases.take(2, State::Live).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Io {
                what: "written",
                ..
            }
        ),
        "{error}"
    );
    assert!(releases.freeze(&name(), true).is_err());
    assert_eq!(releases.list(&name()), list);
    assert!(!releases.frozen(&name()));
    fs::remove_dir(&blocked).unwrap();
    assert_eq!(releases.live(2), 2);
    assert_eq!(fixture.open(10).list(&name()), releases.list(&name()));
    assert!(Releases::open(&fixture.data.path().join("gone"), NonZeroUsize::MIN).is_err());
}
