use super::*;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

fn load() -> impl Strategy<Value = Load> {
    let nearness = prop::sample::select(vec![Nearness::Near, Nearness::Anywhere, Nearness::Away]);
    (0usize..5, 0usize..5, 0u64..40, any::<bool>(), nearness).prop_map(
        |(in_flight, capacity, expected, probe, nearness)| Load {
            in_flight,
            capacity,
            // up to ten milliseconds
            expected: expected * 250_000,
            probe,
            nearness,
        },
    )
}

proptest! {
    #[test]
    fn the_chosen_has_room_and_no_fast_one_with_room_has_less(
        loads in prop::collection::vec(load(), 0..12), waiting in 0usize..100, turn: usize
    ) {
        let usable = loads.iter().filter(|load| load.capacity > 0);
        let fastest = usable.clone().map(|load| load.expected).filter(|e| *e > 0).min();
        let slow = |load: &Load| load.expected > slowest_fast(fastest.unwrap_or(0));
        let room: Vec<&Load> = usable.clone().filter(|load| load.in_flight < load.capacity).collect();
        match choose(loads.iter().copied(), waiting, turn) {
            Choice::Full => prop_assert!(room.is_empty()),
            Choice::Wait { ask_again } => {
                // never for nothing: a fast one works, and its place will come free
                prop_assert!(room.iter().all(|load| slow(load)));
                prop_assert!(usable.clone().any(|load| !slow(load) && load.in_flight > 0));
                prop_assert!(!ask_again.is_zero());
            }
            Choice::Take(index) => {
                let taken = loads[index];
                prop_assert!(taken.in_flight < taken.capacity);
                let least = room.iter().filter(|load| !slow(load)).map(|load| load.in_flight).min();
                prop_assert!(slow(&taken) || Some(taken.in_flight) == least);
                prop_assert!(!slow(&taken) || least.is_none() || (taken.probe && taken.in_flight == 0));
            }
        }
    }

    #[test]
    fn equals_take_turns(count in 1usize..12, rounds in 1usize..5) {
        let idle = Load { in_flight: 0, capacity: 1, expected: 7, probe: false, nearness: Nearness::Anywhere };
        let mut served = vec![0; count];
        let mut turn = 0;
        for _ in 0..count * rounds {
            let Choice::Take(index) = choose(vec![idle; count].into_iter(), 0, turn) else { panic!() };
            served[index] += 1;
            turn = index + 1;
        }
        prop_assert!(served.iter().all(|&times| times == rounds));
    }

    #[test]
    fn logarithms_come_back(number in 1u64..u64::MAX) {
        let back = exp2(log2(number));
        prop_assert!(back <= number && number - back <= number >> 15);
        prop_assert!(log2(number) <= log2(number.saturating_add(number / 1000 + 1)));
    }
}

#[test]
fn among_equals_the_nearest_goes_before_the_turn() {
    let load = |in_flight, nearness| Load {
        in_flight,
        capacity: 2,
        expected: 7,
        probe: false,
        nearness,
    };
    let choose = |loads: &[Load]| choose(loads.iter().copied(), 0, 0);
    let (near, anywhere, away) = (Nearness::Near, Nearness::Anywhere, Nearness::Away);
    assert_eq!(
        choose(&[load(0, away), load(0, anywhere), load(0, near)]),
        Choice::Take(2)
    );
    assert_eq!(
        choose(&[load(0, away), load(0, anywhere), load(1, near)]),
        Choice::Take(1)
    );
    assert_eq!(
        choose(&[load(0, away), load(1, anywhere), load(1, near)]),
        Choice::Take(0)
    );
}

#[test]
fn among_short_answers_only_a_noticeable_difference_counts() {
    let idle = |expected| Load {
        in_flight: 0,
        capacity: 1,
        expected,
        probe: false,
        nearness: Nearness::Anywhere,
    };
    let busy = |expected| Load {
        in_flight: 1,
        ..idle(expected)
    };
    let choose = |slow| choose([busy(20_000), idle(slow)].into_iter(), 0, 0);
    assert_eq!(choose(900_000), Choice::Take(1));
    assert!(matches!(choose(1_100_000), Choice::Wait { .. }));
}

#[test]
fn one_costly_request_makes_no_slow_instance_and_sixteen_do() {
    let mut latency = Latency::default();
    let mut answer = |millis| {
        latency.answered(Duration::ZERO, 0, Duration::from_millis(millis));
        latency.expected(Duration::ZERO, 0) / 1_000_000
    };
    for _ in 0..20 {
        answer(10);
    }
    assert!(answer(1000) < 20);
    for _ in 0..16 {
        answer(200);
    }
    assert!(answer(200) > 10 * SLOW);
}

#[test]
fn silence_counts_while_there_is_something_to_answer() {
    let mut latency = Latency::default();
    let at = Duration::from_secs;
    latency.began(at(1), 0);
    latency.began(at(3), 1);
    assert_eq!(latency.expected(at(4), 2), 3_000_000_000);
    assert_eq!(latency.expected(at(4), 0), 0);
    latency.answered(at(5), 1, Duration::from_secs(4));
    assert_eq!(latency.expected(at(6), 1), 1_000_000_000);
}

/// A pool under a Poisson stream of jobs.
struct Sim {
    instances: usize,
    capacity: usize,
    /// Of all places.
    load: f64,
    /// How many times slower the first instance is, from when until when, in seconds.
    slow: f64,
    slow_during: (f64, f64),
    /// Requests in a hundred that take a hundred times as long.
    costly: u32,
    jobs: usize,
    seed: u64,
}

struct Outcome {
    served: Vec<usize>,
    /// Seconds, in rising order.
    sojourn: Vec<f64>,
}

impl Outcome {
    fn p99(&self) -> f64 {
        self.sojourn[self.sojourn.len() * 99 / 100]
    }

    fn ratio(&self) -> f64 {
        let count = |n: Option<&usize>| f64::from(u32::try_from(*n.unwrap()).unwrap());
        count(self.served.iter().max()) / count(self.served.iter().min()).max(1.0)
    }
}

impl Sim {
    fn pool(instances: usize, capacity: usize, seed: u64) -> Self {
        Self {
            instances,
            capacity,
            load: 0.5,
            slow: 1.0,
            slow_during: (0.0, f64::MAX),
            costly: 0,
            jobs: 20_000,
            seed,
        }
    }

    /// Answers take 10 ms on average, exponentially distributed.
    fn run(&self) -> Outcome {
        enum Event {
            Arrival,
            Answer { index: usize, took: u64, came: u64 },
            AskAgain,
        }
        const MEAN: f64 = 0.01;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut exponential = move |mean: f64| {
            let u: f64 = rng.random();
            (-(1.0 - u).ln() * mean, rng.random_range(0..100u32))
        };
        let in_nanos = |seconds: f64| nanos(Duration::from_secs_f64(seconds));
        let mean = MEAN * (1.0 + 0.99 * f64::from(self.costly));
        let places = f64::from(u32::try_from(self.instances * self.capacity).unwrap());
        let gap = mean / (places * self.load);
        let mut events = BinaryHeap::new();
        let mut bodies = Vec::new();
        let mut latency = vec![Latency::default(); self.instances];
        let mut in_flight = vec![0; self.instances];
        let mut queue: VecDeque<u64> = VecDeque::new();
        let (mut turn, mut handed, mut arrived) = (0, 0u64, 0);
        let mut asking = false;
        let mut out = Outcome {
            served: vec![0; self.instances],
            sojourn: Vec::new(),
        };
        bodies.push(Event::Arrival);
        events.push(Reverse((0u64, 0usize)));
        while let Some(Reverse((now, body))) = events.pop() {
            let time = Duration::from_nanos(now);
            match &bodies[body] {
                Event::Arrival => {
                    arrived += 1;
                    queue.push_back(now);
                    if arrived < self.jobs {
                        events.push(Reverse((now + in_nanos(exponential(gap).0), bodies.len())));
                        bodies.push(Event::Arrival);
                    }
                }
                Event::Answer { index, took, came } => {
                    latency[*index].answered(time, handed, Duration::from_nanos(*took));
                    in_flight[*index] -= 1;
                    out.served[*index] += 1;
                    out.sojourn
                        .push(Duration::from_nanos(now - came).as_secs_f64());
                }
                Event::AskAgain => asking = false,
            }
            while let Some(&came) = queue.front() {
                let loads = (0..self.instances).map(|index| Load {
                    in_flight: in_flight[index],
                    capacity: self.capacity,
                    expected: latency[index].expected(time, in_flight[index]),
                    probe: latency[index].probe_due(time, handed),
                    nearness: Nearness::Anywhere,
                });
                match choose(loads, queue.len() - 1, turn) {
                    Choice::Full => break,
                    Choice::Wait { ask_again } => {
                        if !std::mem::replace(&mut asking, true) {
                            events.push(Reverse((now + nanos(ask_again), bodies.len())));
                            bodies.push(Event::AskAgain);
                        }
                        break;
                    }
                    Choice::Take(index) => {
                        queue.pop_front();
                        latency[index].began(time, in_flight[index]);
                        in_flight[index] += 1;
                        turn = index + 1;
                        handed += 1;
                        let (mut work, dice) = exponential(MEAN);
                        if dice < self.costly {
                            work *= 100.0;
                        }
                        let (from, to) = self.slow_during;
                        if index == 0 && (from..to).contains(&time.as_secs_f64()) {
                            work *= self.slow;
                        }
                        let took = in_nanos(work);
                        events.push(Reverse((now + took, bodies.len())));
                        bodies.push(Event::Answer { index, took, came });
                    }
                }
            }
        }
        assert!(queue.is_empty(), "every job was served");
        out.sojourn.sort_by(f64::total_cmp);
        out
    }
}

#[test]
fn equal_instances_share_a_steady_load() {
    let pools = [(2, 1), (4, 1), (8, 1), (2, 16), (8, 16)];
    let plain = |load| pools.map(|(instances, capacity)| (instances, capacity, load, 0, 20_000));
    let cases = [0.05, 0.5, 0.9].into_iter().flat_map(plain);
    // chance alone needs more jobs to even out where there are many, or some are costly
    let larger = [(4, 1, 0.5, 1, 80_000), (64, 1, 0.5, 0, 100_000)];
    for (instances, capacity, load, costly, jobs) in cases.chain(larger) {
        let sim = Sim {
            load,
            costly,
            jobs,
            ..Sim::pool(instances, capacity, 1)
        };
        let ratio = sim.run().ratio();
        println!("{instances:2} x {capacity:2}, load {load}, costly {costly} %: {ratio:.3}");
        assert!(
            ratio <= 1.2,
            "{instances} x {capacity}, load {load}: {ratio}"
        );
    }
}

#[test]
fn one_slow_instance_costs_the_service_little() {
    for seed in 0..2 {
        for (instances, capacity) in [(4, 1), (8, 1), (4, 16), (8, 16)] {
            let healthy = Sim::pool(instances, capacity, seed);
            let slowed = Sim {
                slow: 20.0,
                ..Sim::pool(instances, capacity, seed)
            };
            let (healthy, slowed) = (healthy.run(), slowed.run());
            let times = slowed.p99() / healthy.p99();
            println!(
                "{instances} x {capacity:2}: p99 {:.1} ms, then {:.1} ms, {times:.2} times; the slow one served {}",
                healthy.p99() * 1e3,
                slowed.p99() * 1e3,
                slowed.served[0]
            );
            assert!(times <= 2.0, "{instances} x {capacity}: {times}");
            assert!(slowed.served[0] * 100 < slowed.sojourn.len());
        }
    }
}

#[test]
fn an_instance_that_recovered_gets_its_share_again() {
    for capacity in [1, 16] {
        let sim = Sim {
            slow: 20.0,
            slow_during: (0.0, 2.0),
            jobs: 40_000,
            load: if capacity == 1 { 0.5 } else { 0.1 },
            ..Sim::pool(4, capacity, 7)
        };
        let served = sim.run().served[0];
        println!("capacity {capacity}: {served} of 40000");
        assert!(served > 8000, "{served}");
    }
}
