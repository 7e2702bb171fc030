//! The policy in a simulation of what is around it: processors that take tasks from one queue, in
//! order; work that is interrupted every tick; and input that is seen only when a processor has nothing
//! else to do, or was told to look.

mod simulation;

use proptest::prelude::*;

use self::simulation::{Clients, Load, Outcome, Simulation, TICK, micros, millis};
use super::*;

fn shares(processors: usize) -> Shares<u32> {
    Shares::new(processors)
}

fn join(shares: &mut Shares<u32>, weight: u32) -> Account {
    shares.join(weight.try_into().unwrap(), Duration::ZERO)
}

/// A turn that a service has at once, and that is over at once.
fn pass(shares: &mut Shares<u32>, account: Account, used: Duration, now: Duration) {
    match shares.ask(account, used, now, Need::Begin, || 0) {
        // nothing of it was used
        Asked::Free(grant) => shares.unused(&grant),
        asked => panic!("it has had less than its share: {asked:?}"),
    }
}

fn waits(asked: &Asked) -> bool {
    matches!(asked, Asked::Waits)
}

#[test]
fn who_has_had_less_than_its_share_never_waits() {
    let mut shares = shares(1);
    let (busy, light) = (join(&mut shares, 10), join(&mut shares, 10));
    pass(&mut shares, busy, millis(0), millis(1));
    assert!(matches!(
        shares.ask(busy, millis(5), millis(6), Need::Begin, || 1),
        Asked::Given(_)
    ));
    assert!(waits(&shares.ask(
        busy,
        millis(5),
        millis(6),
        Need::Begin,
        || 2
    )));
    assert!(waits(&shares.ask(
        busy,
        millis(5),
        millis(6),
        Need::Begin,
        || 3
    )));
    pass(&mut shares, light, millis(0), millis(7));
    // it has used as much now
    assert!(waits(&shares.ask(
        light,
        millis(20),
        millis(8),
        Need::Begin,
        || 5
    )));
}

#[test]
fn the_next_turn_is_the_smallest_tags() {
    let mut shares = shares(1);
    let (a, b) = (join(&mut shares, 1), join(&mut shares, 3));
    for account in [a, b] {
        pass(&mut shares, account, millis(0), millis(1));
    }
    let Asked::Given(mut grant) = shares.ask(a, millis(5), millis(1), Need::Begin, || 0) else {
        panic!("there is a processor");
    };
    // b is as far as a
    let mut used = [millis(5), millis(20)];
    for who in 0..8 {
        let account = if who % 2 == 0 { a } else { b };
        assert!(waits(&shares.ask(
            account,
            used[who % 2],
            millis(1),
            Need::Begin,
            || u32::try_from(who % 2).unwrap()
        )));
    }
    let mut order = Vec::new();
    let mut holder = 0;
    while shares.is_crowded() {
        used[holder] += millis(4);
        shares.begun(&grant);
        shares.ended(&grant, used[holder]);
        let (who, next) = shares.next(millis(2), false).expect("somebody waits");
        assert!(
            shares.next(millis(2), false).is_none(),
            "there is one processor"
        );
        (grant, holder) = (next, who as usize);
        order.push(who);
    }
    let first: u32 = order[..5].iter().sum();
    assert_eq!(
        (order.len(), first),
        (8, 4),
        "three of four are b's: {order:?}"
    );
}

#[test]
fn a_turn_that_does_not_begin_gives_way() {
    let mut shares = shares(1);
    let a = join(&mut shares, 10);
    pass(&mut shares, a, millis(0), millis(1));
    let Asked::Given(lost) = shares.ask(a, millis(5), millis(1), Need::Begin, || 0) else {
        panic!("there is a processor");
    };
    assert!(waits(&shares.ask(
        a,
        millis(5),
        millis(2),
        Need::Begin,
        || 7
    )));
    assert!(shares.next(millis(500), false).is_none());
    let (who, grant) = shares.next(millis(502), false).expect("it gave way");
    assert_eq!(who, 7);
    // the one that comes late takes nothing from what is counted
    shares.begun(&lost);
    shares.ended(&lost, millis(6));
    assert_eq!(shares.given, QUANTUM);
    shares.ended(&grant, millis(7));
    assert_eq!(shares.given, Duration::ZERO);
}

#[test]
fn an_idle_processor_takes_whoever_waits() {
    let mut shares = shares(1);
    let a = join(&mut shares, 10);
    pass(&mut shares, a, millis(0), millis(1));
    assert!(matches!(
        shares.ask(a, millis(5), millis(1), Need::Begin, || 0),
        Asked::Given(_)
    ));
    assert!(waits(&shares.ask(
        a,
        millis(5),
        millis(1),
        Need::Begin,
        || 7
    )));
    assert!(shares.next(millis(1), false).is_none());
    assert!(matches!(shares.next(millis(1), true), Some((7, _))));
    assert!(shares.next(millis(1), true).is_none());
}

#[test]
fn what_was_used_long_ago_does_not_matter() {
    let mut shares = shares(1);
    let (a, b) = (join(&mut shares, 1), join(&mut shares, 1));
    for account in [a, b] {
        pass(&mut shares, account, millis(0), millis(1));
    }
    let asked = shares.ask(a, millis(500), millis(2), Need::Begin, || 0);
    assert!(matches!(asked, Asked::Given(_)));
    let asked = shares.ask(a, millis(900), millis(50), Need::Begin, || 0);
    assert!(matches!(asked, Asked::Free(_)), "all begin anew: {asked:?}");
}

#[test]
fn a_service_that_leaves_makes_room_for_another() {
    let mut shares = shares(1);
    let a = join(&mut shares, 1);
    let b = join(&mut shares, 1);
    shares.leave(a);
    assert_eq!(join(&mut shares, 5), a);
    assert_eq!(join(&mut shares, 5).0, b.0 + 1);
}

/// Requests of a service that is flooded: some are short, some are interrupted several times. There are so
/// many that some are always there to be run, although processors don't look for input all the time.
fn flooded(processors: usize) -> impl Strategy<Value = Load> {
    let lengths = prop_oneof![
        (20_u64..200).prop_map(|most| (20, most)),
        (200_u64..4000).prop_map(|most| (200, most)),
        (1000_u64..50_000).prop_map(|most| (1000, most)),
    ];
    (1_u32..=10, lengths, 1_usize..20, 0_u64..300).prop_map(
        move |(weight, (least, most), more, think)| {
            let stock = 4 * processors as u64 * u64::try_from(QUANTUM.as_micros()).unwrap();
            let clients =
                2 * processors + more + usize::try_from(2 * stock / (least + most)).unwrap();
            Load {
                weight,
                length: least..most + 1,
                clients: Clients::Loop {
                    clients,
                    think: micros(think),
                },
            }
        },
    )
}

/// Requests that come one by one, and need a few percent of a processor.
fn light() -> impl Strategy<Value = Load> {
    (1_u32..=100, 50_u64..900, 20_u64..60).prop_map(|(weight, length, every)| Load {
        weight,
        length: length..length * 2,
        clients: Clients::Open {
            every: every * 1000,
        },
    })
}

fn run(processors: usize, loads: Vec<Load>, seconds: u32, seed: u64) -> Outcome {
    Simulation::new(processors, loads, seed).run(Duration::from_secs(seconds.into()))
}

/// As a factor.
fn factor(processors: usize) -> f64 {
    u32::try_from(processors).unwrap().into()
}

/// The shares of services that all have work, in processor time of a second.
fn fair(loads: &[Load], processors: usize) -> Vec<f64> {
    let all: u32 = loads.iter().map(|load| load.weight).sum();
    let share = |load: &Load| f64::from(load.weight) / f64::from(all) * factor(processors);
    loads.iter().map(share).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Within a tenth, and one computation of a tick more or less: it isn't cut where a second ends.
    #[test]
    fn flooded_services_get_their_weighted_shares_in_every_second(
        (processors, loads, seed) in (1_usize..=4).prop_flat_map(|processors| {
            (Just(processors), prop::collection::vec(flooded(processors), 2..6), any::<u64>())
        })
    ) {
        let fair = fair(&loads, processors);
        let outcome = run(processors, loads.clone(), 3, seed);
        // seconds that begin anywhere, after the first
        for begin in (5..20).map(|tenths| tenths * 100) {
            let used = outcome.used_between(millis(begin), millis(begin + 1000));
            let all: f64 = used.iter().sum();
            prop_assert!(all > 0.9 * factor(processors), "{all} of {processors} were used");
            for (index, fair) in fair.iter().enumerate() {
                let fair = fair * all / factor(processors);
                let tolerance = 0.1 * fair + TICK.as_secs_f64();
                prop_assert!((used[index] - fair).abs() <= tolerance,
                    "{index}: {used:?} of {fair} at {begin}: {loads:?}");
            }
        }
    }

    #[test]
    fn a_light_service_waits_no_longer_than_a_window_and_a_tick_beside_flooded_ones(
        (processors, mut loads, light, seed) in (1_usize..=4).prop_flat_map(|processors| {
            (Just(processors), prop::collection::vec(flooded(processors), 1..4), light(), any::<u64>())
        })
    ) {
        loads.push(light);
        let outcome = run(processors, loads.clone(), 4, seed);
        let waits = outcome.waits.last().unwrap();
        prop_assert!(waits.len() > 30);
        let worst = waits.iter().max().unwrap();
        prop_assert!(*worst <= WINDOW + TICK, "{worst:?}: {loads:?}");
    }

    /// It has one computation, and each processor that it is entitled to has others to do before. Within
    /// a fifth: at each interruption it goes on only when one of the others is interrupted.
    #[test]
    fn a_service_with_one_computation_gets_its_share_beside_a_flooded_one(
        processors in 1_usize..=4, seed in any::<u64>()
    ) {
        let load = |length, clients| Load {
            weight: 10,
            length: length..length + 1,
            clients: Clients::Loop { clients, think: micros(50) },
        };
        let loads = vec![load(3_000_000, 1), load(40_000, 30)];
        let outcome = run(processors, loads, 2, seed);
        let used = outcome.used_between(millis(500), millis(1500));
        let fair = (0.5 * factor(processors)).min(1.0);
        prop_assert!((used[0] - fair).abs() <= 0.2 * fair, "{used:?} of {fair}");
    }

    /// A processor is idle only if nothing is there to be done, and whatever came is done in the end.
    #[test]
    fn no_processor_is_idle_while_somebody_waits(
        (processors, loads, seed) in (1_usize..=4).prop_flat_map(|processors| {
            let either = prop_oneof![flooded(processors), light()];
            (Just(processors), prop::collection::vec(either, 1..6), any::<u64>())
        })
    ) {
        let outcome = run(processors, loads, 1, seed);
        prop_assert_eq!(outcome.idle_while_waiting, Duration::ZERO);
        prop_assert_eq!(outcome.arrived, outcome.done);
    }

    #[test]
    fn the_smallest_weight_advances_beside_the_largest(
        processors in 1_usize..=4, seed in any::<u64>()
    ) {
        let load = |weight| Load {
            weight,
            length: 30_000..31_000,
            clients: Clients::Loop { clients: 20, think: micros(50) },
        };
        let outcome = run(processors, vec![load(1), load(100), load(100)], 4, seed);
        let used = outcome.used_between(millis(1000), millis(4000));
        let fair = 3.0 * factor(processors) / 201.0;
        prop_assert!((used[0] - fair).abs() <= 0.1 * fair + 2.0 * TICK.as_secs_f64(), "{used:?} {fair}");
    }
}
