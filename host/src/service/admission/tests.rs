use super::*;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug)]
enum Work {
    Constant,
    Exponential,
    /// One in ten takes ten times as long.
    Bimodal,
}

/// A service of `places` that share `cores`; its requests take a core for a while.
#[derive(Clone, Copy, Debug)]
struct Sim {
    places: usize,
    cores: usize,
    /// As the policy is told.
    told: usize,
    /// Of one request, in seconds, on average.
    mean: f64,
    work: Work,
    deadline: f64,
    policy: bool,
    seed: u64,
}

#[derive(Default)]
struct Outcome {
    came: usize,
    in_time: usize,
    late: usize,
    shed: usize,
    /// Seconds, of those in time.
    sojourn: Vec<f64>,
}

impl Outcome {
    /// Of what the cores could do.
    fn goodput(&self, seconds: f64, sim: &Sim) -> f64 {
        number(self.in_time) / (seconds * number(sim.cores) / sim.mean)
    }
}

impl Sim {
    /// `phases` of seconds at a load, 1.0 being all that the cores can do.
    fn run(&self, phases: &[(f64, f64)]) -> Vec<Outcome> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let budget = Duration::from_secs_f64(self.deadline / 2.0);
        let mut admission = Admission::new(Limits {
            queue: 4096,
            cores: self.told,
            budget,
        });
        let mut out: Vec<Outcome> = phases.iter().map(|_| Outcome::default()).collect();
        // work left, when it came, when it got its place, its phase, places then taken
        let mut running: Vec<(f64, f64, f64, usize, usize)> = Vec::new();
        let mut queue: VecDeque<(f64, usize)> = VecDeque::new();
        let (mut now, mut end) = (0.0, 0.0);
        let mut next = 0.0;
        for (phase, &(seconds, load)) in phases.iter().enumerate() {
            end += seconds;
            next = f64::max(next, now);
            while now < end {
                let speed = (number(self.cores) / number(running.len().max(1))).min(1.0);
                let least = running.iter().map(|job| job.0).fold(f64::MAX, f64::min);
                let step = (least / speed).min(next - now).max(0.0);
                now += step;
                for job in &mut running {
                    job.0 -= step * speed;
                }
                let at = Duration::from_secs_f64(now);
                let load_now = |running: usize, waiting| Load {
                    now: at,
                    places: self.places,
                    in_places: running,
                    waiting,
                };
                while let Some(index) = running.iter().position(|job| job.0 <= 1e-9) {
                    let state = load_now(running.len(), queue.len());
                    let (_, came, began, phase, began_as) = running.swap_remove(index);
                    admission.freed(&state, began_as, Duration::from_secs_f64(now - began));
                    if now - came <= self.deadline {
                        out[phase].in_time += 1;
                        out[phase].sojourn.push(now - came);
                    } else {
                        out[phase].late += 1;
                    }
                }
                if now >= next {
                    let u: f64 = rng.random();
                    next += -(1.0 - u).ln() * self.mean / (load * number(self.cores));
                    out[phase].came += 1;
                    let state = load_now(running.len(), queue.len());
                    let left = Duration::from_secs_f64(self.deadline);
                    let verdict = admission.arrives(&state, left, rng.random());
                    match verdict {
                        Err(shed) if self.policy => {
                            assert!(shed.retry_after >= Duration::from_secs(1));
                            out[phase].shed += 1;
                        }
                        _ if queue.len() >= 256 => out[phase].shed += 1,
                        _ => queue.push_back((now, phase)),
                    }
                }
                while running.len() < self.places {
                    let Some((came, phase)) = queue.pop_front() else {
                        break;
                    };
                    if now - came > self.deadline {
                        out[phase].late += 1;
                        continue;
                    }
                    let work = match self.work {
                        Work::Constant => self.mean,
                        Work::Exponential => -(1.0 - rng.random::<f64>()).ln() * self.mean,
                        Work::Bimodal if rng.random_range(0..10) == 0 => self.mean * 10.0 / 1.9,
                        Work::Bimodal => self.mean / 1.9,
                    };
                    running.push((work, came, now, phase, running.len() + 1));
                }
            }
        }
        for outcome in &mut out {
            outcome.sojourn.sort_by(f64::total_cmp);
        }
        out
    }
}

fn services() -> impl Iterator<Item = Sim> {
    let kinds = [Work::Constant, Work::Exponential, Work::Bimodal];
    // the places are the bottleneck; the cores are, with places enough to make all of them late
    let sizes = [(4, 4), (8, 8), (32, 2), (64, 2)];
    kinds.into_iter().flat_map(move |work| {
        sizes.into_iter().flat_map(move |(places, cores)| {
            (0..2).map(move |seed| Sim {
                places,
                cores,
                told: cores,
                mean: 0.01,
                work,
                deadline: 0.25,
                policy: true,
                seed,
            })
        })
    })
}

#[test]
fn at_four_times_what_it_can_do_a_service_does_what_it_can() {
    for sim in services() {
        let mut goodput = Vec::new();
        for load in [0.5, 1.0, 2.0, 4.0] {
            let out = &sim.run(&[(2.0, load), (5.0, load)])[1];
            goodput.push(out.goodput(5.0, &sim));
            let shed = number(out.shed) / number(out.came);
            if load < 0.6 {
                assert!(shed < 0.01, "{sim:?}: {shed} shed at half load");
            }
            if sim.seed == 0 {
                let p99 = out
                    .sojourn
                    .get(out.sojourn.len() * 99 / 100)
                    .unwrap_or(&0.0)
                    * 1e3;
                println!(
                    "{:?} {}/{} at {load}: goodput {:.3}, late {}, shed {shed:.3}, p99 {p99:.0} ms",
                    sim.work,
                    sim.places,
                    sim.cores,
                    goodput[goodput.len() - 1],
                    out.late
                );
            }
        }
        let peak = goodput.iter().copied().fold(0.0, f64::max);
        assert!(
            goodput[3] >= 0.9 * peak && goodput[3] >= 0.85,
            "{sim:?}: {goodput:?}"
        );
    }
}

/// Its requests wait for something that is not a core.
#[test]
fn a_service_that_is_slow_by_nature_keeps_its_places() {
    for seed in 0..5 {
        let sim = Sim {
            places: 16,
            cores: 16,
            told: 2,
            mean: 0.1,
            work: Work::Constant,
            deadline: 0.25,
            policy: true,
            seed,
        };
        let goodput = sim.run(&[(2.0, 4.0), (20.0, 4.0)])[1].goodput(20.0, &sim);
        println!("{goodput}");
        assert!(goodput >= 0.9, "{goodput}");
    }
}

#[test]
fn without_it_a_flood_leaves_little() {
    for sim in services().filter(|sim| sim.seed == 0 && sim.cores < 8) {
        let sim = Sim {
            policy: false,
            ..sim
        };
        let goodput = sim.run(&[(2.0, 4.0), (10.0, 4.0)])[1].goodput(10.0, &sim);
        println!("{:?} {}/{}: {goodput:.3}", sim.work, sim.places, sim.cores);
        assert!(goodput < 0.8, "{sim:?}: {goodput}");
    }
}

#[test]
fn a_short_burst_is_absorbed() {
    for sim in services() {
        // ten times the load for as long as it takes to fill a quarter of the deadline
        let out = sim.run(&[(2.0, 0.4), (0.006, 10.0), (2.0, 0.4)]);
        let lost: usize = out.iter().map(|out| out.shed + out.late).sum();
        assert!(
            lost * 100 <= out.iter().map(|out| out.came).sum(),
            "{sim:?}: {lost}"
        );
    }
}

#[test]
fn when_the_flood_is_over_nobody_is_shed_any_more() {
    for sim in services() {
        let out = sim.run(&[(5.0, 8.0), (0.3, 0.5), (5.0, 0.5)]);
        let after = &out[2];
        assert!(after.shed * 100 <= after.came, "{sim:?}: {}", after.shed);
        assert!(after.late * 100 <= after.came, "{sim:?}: {}", after.late);
    }
}

proptest! {
    #[test]
    fn something_is_always_admitted_and_never_more_than_fits(
        steps in prop::collection::vec((0usize..64, 0usize..300, 0u64..50, any::<bool>()), 1..200)
    ) {
        let limits = Limits { queue: 100, cores: 2, budget: Duration::from_millis(100) };
        let mut admission = Admission::new(limits);
        for (n, (in_places, waiting, millis, freed)) in steps.into_iter().enumerate() {
            let now = Duration::from_millis(n as u64 * 7);
            let load = Load { now, places: 64, in_places, waiting };
            if freed {
                admission.freed(&load, in_places, Duration::from_millis(millis));
            }
            let admitted = admission.arrives(&load, Duration::from_secs(1), 0.5).is_ok();
            prop_assert!(!admitted || in_places + waiting < 164);
            let idle = Load { in_places: 0, waiting: 0, ..load };
            prop_assert!(admission.arrives(&idle, Duration::from_secs(1), 0.5).is_ok());
        }
    }
}
