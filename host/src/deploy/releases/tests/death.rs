//! The process dies after each single change to the file system.

use super::super::fault::dying_after;
use super::*;

/// All that a restart tells of the service.
fn told(releases: &Releases) -> (Vec<Record>, Option<Pin>, bool) {
    (
        releases.list(&name()),
        releases.pinned(&name()),
        releases.frozen(&name()),
    )
}

/// Does `work` after `before`, once for each point at which it can die.
fn each_death(before: impl Fn(&Releases), work: impl Fn(&Releases)) {
    let whole = Fixture::new();
    let releases = whole.open(2);
    before(&releases);
    let old = told(&whole.open(2));
    work(&releases);
    let new = told(&whole.open(2));
    assert_eq!(told(&releases), new);
    let mut outcomes = [0; 2];
    for changes in 0.. {
        let fixture = Fixture::new();
        let releases = fixture.open(2);
        before(&releases);
        let ((), died) = dying_after(changes, || work(&releases));
        let again = fixture.open(2);
        let is = told(&again);
        assert!(is == old || is == new, "after {changes} changes: {is:?}");
        outcomes[usize::from(is == new)] += 1;
        for record in is.0 {
            again.load(&name(), record.revision).unwrap();
        }
        if fixture.path().exists() {
            assert!(!fixture.names().iter().any(|name| is_of(name, "part")));
        }
        work(&again);
        assert_eq!(told(&again).0.len(), new.0.len(), "it goes on after that");
        if !died {
            break;
        }
    }
    assert!(outcomes[0] > 1 && outcomes[1] > 1, "{outcomes:?}");
}

#[test]
fn the_first_release_is_kept_whole_or_not_at_all() {
    each_death(|_| {}, |releases| drop(releases.take(1, State::Live)));
}

#[test]
fn a_release_that_makes_another_one_go_is_kept_whole_or_not_at_all() {
    each_death(
        |releases| {
            releases.live(1);
            releases.live(2);
        },
        |releases| drop(releases.take(4, State::Live)),
    );
}

#[test]
fn a_rollback_is_decided_whole_or_not_at_all() {
    each_death(
        |releases| {
            releases.live(1);
            releases.live(2);
        },
        |releases| drop(releases.pin(&name(), pin_of(2, 1, Why::TakenBack))),
    );
}

#[test]
fn a_damaged_index_is_never_gone_while_it_is_replaced() {
    for changes in 0..20 {
        let fixture = Fixture::new();
        let releases = fixture.open(10);
        releases.live(1);
        releases.live(2);
        let index = fixture.path().join("index.json");
        let text = fs::read_to_string(&index).unwrap();
        fs::write(&index, &text[..text.len() - 10]).unwrap();
        let (opened, _) = dying_after(changes, || {
            Releases::open(fixture.data.path(), NonZeroUsize::MIN)
        });
        assert_eq!(opened.unwrap().states(), [(1, State::Kept)]);
        assert_eq!(fixture.open(10).states(), [(1, State::Kept)]);
    }
}
