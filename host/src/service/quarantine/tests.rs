use super::*;
use http::Method;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn quarantine() -> Quarantine {
    Quarantine::new(Limits::default(), RandomState::new())
}

fn print(quarantine: &Quarantine, number: u64) -> Fingerprint {
    let target = format!("/order?n={number}");
    quarantine.watch.fingerprint(&Method::POST, &target, ["{}"])
}

fn death(now: Duration, reason: ExitReason) -> Suspicion {
    Suspicion {
        now,
        instance: InstanceId(now.as_secs()),
        death: Death {
            computing: true,
            ..Death::of(reason)
        },
        hindered: false,
    }
}

fn kill(quarantine: &mut Quarantine, print: &Fingerprint, now: Duration) -> bool {
    quarantine.died(print, &"POST /order", &death(now, ExitReason::Trap))
}

#[test]
fn three_kills_in_a_row_and_then_longer_and_longer_until_it_is_answered() {
    let mut q = quarantine();
    let poison = print(&q, 1);
    assert!(!kill(&mut q, &poison, SECOND));
    assert!(!kill(&mut q, &poison, SECOND * 2));
    assert_eq!(q.admit(SECOND * 2, &poison), Admission::Pass);
    assert!(kill(&mut q, &poison, SECOND * 3));
    let mut now = SECOND * 3;
    let mut rest = MINUTE;
    for _ in 0..8 {
        let refuse = |retry_after| Admission::Refuse { retry_after };
        assert_eq!(
            q.admit(now + SECOND, &poison),
            refuse(rest.saturating_sub(SECOND))
        );
        now += rest;
        assert_eq!(q.refuses(now, &poison), None);
        assert_eq!(q.admit(now, &poison), Admission::Probe);
        assert!(matches!(q.admit(now, &poison), Admission::Refuse { .. }));
        assert!(kill(&mut q, &poison, now));
        rest = (rest * 2).min(MINUTE * 60);
    }
    let [held] = &q.evidence()[..] else { panic!() };
    assert_eq!((held.kills, held.refused, held.last.len()), (11, 16, KEPT));
    assert_eq!((&*held.line, held.last[7].at), ("POST /order", now));
    assert_eq!(q.admit(now + rest, &poison), Admission::Probe);
    assert!(q.succeeded(&poison));
    assert_eq!(q.admit(now + rest, &poison), Admission::Pass);
    assert!(q.watch.is_quiet());
}

#[test]
fn a_probe_that_told_nothing_makes_room_for_another() {
    let mut q = quarantine();
    let poison = print(&q, 1);
    for n in 0..3 {
        kill(&mut q, &poison, SECOND * n);
    }
    let now = SECOND * 2 + MINUTE;
    assert_eq!(q.admit(now, &poison), Admission::Probe);
    assert!(!q.died(&poison, &"", &death(now, ExitReason::Killed)));
    assert_eq!(q.admit(now, &poison), Admission::Probe);
    // nobody says how that one ended
    assert_eq!(q.admit(now + MINUTE, &poison), Admission::Probe);
}

#[test]
fn a_bystander_is_not_poison_and_poison_in_company_at_first_is() {
    let mut q = quarantine();
    let (bystander, poison) = (print(&q, 1), print(&q, 2));
    let mut in_company = death(SECOND, ExitReason::Trap);
    in_company.death.in_company = true;
    for _ in 0..9 {
        assert!(!q.died(&bystander, &"", &in_company));
    }
    assert!(!q.died(&poison, &"", &in_company));
    assert!(!kill(&mut q, &poison, SECOND));
    assert!(kill(&mut q, &poison, SECOND));
}

#[test]
fn a_deadline_counts_only_where_the_guest_computed_all_the_time_it_should_have_had() {
    let late = death(SECOND, ExitReason::Deadline);
    assert!(late.counts());
    let mut waited = late;
    waited.death.computing = false;
    let hindered = Suspicion {
        hindered: true,
        ..late
    };
    assert!(!waited.counts() && !hindered.counts());
}

#[test]
fn what_was_long_ago_is_forgotten_and_the_watch_falls_silent() {
    let mut q = quarantine();
    let (old, new) = (print(&q, 1), print(&q, 2));
    kill(&mut q, &old, SECOND);
    assert!(q.watch.knows(&Method::POST, "/order?n=1"));
    assert!(!q.watch.knows(&Method::GET, "/order?n=1"));
    assert_eq!(q.admit(MINUTE * 11, &new), Admission::Pass);
    assert!(q.watch.is_quiet());
}

proptest! {
    #[test]
    fn no_success_between_means_none_and_the_hosts_deaths_never_count(
        ends in prop::collection::vec((0u64..3, 0usize..12), 1..200)
    ) {
        let mut q = quarantine();
        let mut in_a_row = [0; 3];
        for (n, (which, end)) in ends.into_iter().enumerate() {
            let print = print(&q, which);
            let row = &mut in_a_row[usize::try_from(which).unwrap()];
            let now = SECOND * u32::try_from(n / 8).unwrap();
            if let Some(&reason) = ExitReason::ALL.get(end) {
                let death = death(now, reason);
                *row += u32::from(death.counts());
                let fell = q.died(&print, &"", &death);
                prop_assert_eq!(fell, death.counts() && *row == 3);
            } else {
                q.succeeded(&print);
                *row = 0;
            }
            let refused = matches!(q.admit(now, &print), Admission::Refuse { .. });
            prop_assert_eq!(*row >= 3, refused);
            let target = format!("/order?n={which}");
            prop_assert!(*row == 0 || q.watch.knows(&Method::POST, &target));
        }
    }

    #[test]
    fn the_memory_is_bounded_and_those_in_quarantine_stay_longest(many in 1u64..60, cap in 2usize..20) {
        let limits = Limits { fingerprints: cap.try_into().unwrap(), ..Limits::default() };
        let mut q = Quarantine::new(limits, RandomState::new());
        let poison = print(&q, 1000);
        for _ in 0..3 { kill(&mut q, &poison, Duration::ZERO); }
        for n in 0..many {
            let other = print(&q, n);
            kill(&mut q, &other, SECOND);
            prop_assert!(q.suspects.len() <= cap);
        }
        let refused = matches!(q.admit(SECOND, &poison), Admission::Refuse { .. });
        prop_assert!(refused);
    }
}
