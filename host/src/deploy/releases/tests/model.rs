//! The store against a model that is simple: each release knows the whole line of those it came after.

use proptest::prelude::*;

use super::super::fault::dying_after;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Accept(u8, State),
    Mark(u64, State),
    Pin(u8, u64, Why),
    Unpin,
    Freeze(bool),
    Reopen,
    /// The step is under way when the process dies, after so many changes to the file system.
    Die(u32, Box<Step>),
}

#[derive(Clone, Debug)]
struct Item {
    revision: u64,
    number: u8,
    state: State,
    /// Oldest first.
    line: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    used: u64,
    /// In the order in which they were last accepted.
    items: Vec<Item>,
    pin: Option<(u8, u64)>,
    frozen: bool,
}

const ONE: [State; 3] = [State::Live, State::Canary, State::Held];

impl Model {
    fn at(&self, revision: u64) -> Option<usize> {
        self.items.iter().position(|i| i.revision == revision)
    }

    fn live(&self) -> Option<u64> {
        let mut live = self.items.iter().filter(|i| i.state == State::Live);
        live.next().map(|i| i.revision)
    }

    fn previous(&self, revision: u64) -> Option<u64> {
        let line = &self.items[self.at(revision)?].line;
        let good = |r: &&u64| {
            let item = self.at(**r).map(|at| &self.items[at]);
            item.is_some_and(|i| matches!(i.state, State::Live | State::Kept))
        };
        line.iter().rev().find(good).copied()
    }

    fn leave(&mut self, revision: u64) {
        for item in &mut self.items {
            item.line.retain(|r| *r != revision);
        }
    }

    fn put_last(&mut self, revision: u64) {
        let mut item = self.items.remove(self.at(revision).unwrap());
        self.leave(revision);
        let kept = self.items.iter().rev().find(|i| i.state == State::Kept);
        let base = self.live().or(kept.map(|i| i.revision));
        item.line = base.map_or_else(Vec::new, |base| {
            let line = &self.items[self.at(base).unwrap()].line;
            line.iter().copied().chain([base]).collect()
        });
        self.items.push(item);
    }

    fn set(&mut self, revision: u64, state: State) {
        for item in &mut self.items {
            if item.revision == revision {
                item.state = state;
            } else if item.state == state && ONE.contains(&state) {
                item.state = State::Kept;
            }
        }
        if self.pin.is_some_and(|(_, run)| Some(run) != self.live()) {
            self.pin = None;
        }
    }

    fn accept(&mut self, number: u8, state: State) -> u64 {
        let known = self.items.iter().find(|i| i.number == number).cloned();
        let revision = known.as_ref().map_or(self.used + 1, |i| i.revision);
        for item in self.items.iter_mut().filter(|i| i.revision != revision) {
            if item.state == State::Held || (item.state == State::Canary && state == State::Live) {
                item.state = State::Kept;
            }
        }
        if state == State::Live {
            self.pin = None;
        }
        if known.is_none() {
            self.used += 1;
            let (state, line) = (State::Kept, Vec::new());
            self.items.push(Item {
                revision,
                number,
                state,
                line,
            });
        }
        if !known.as_ref().is_some_and(|i| i.state == State::Live) {
            if known.is_none() || state == State::Live {
                self.put_last(revision);
            }
            self.set(revision, state);
        }
        revision
    }

    fn pin(&mut self, seen: u8, run: u64, why: Why) {
        let left = match why {
            Why::Operator | Why::Held => State::Kept,
            Why::TakenBack => State::TakenBack,
        };
        for item in self.items.iter_mut().filter(|i| i.revision != run) {
            let tried = item.state == State::Canary && item.number == seen;
            if item.state == State::Live || tried {
                item.state = left;
            }
        }
        self.set(run, State::Live);
        self.pin = Some((seen, run));
    }

    fn prune(&mut self, keep: usize, fresh: Option<u64>) {
        let good = self.live().and_then(|live| self.previous(live));
        let mut surplus = self.items.len().saturating_sub(keep);
        let mut going = Vec::new();
        for item in &self.items {
            let spared = ONE.contains(&item.state) || [good, fresh].contains(&Some(item.revision));
            if surplus > 0 && !spared {
                surplus -= 1;
                going.push(item.revision);
            }
        }
        for revision in going {
            self.leave(revision);
            self.items.retain(|i| i.revision != revision);
        }
    }

    fn go(&mut self, step: &Step, keep: usize) {
        match *step {
            Step::Accept(number, state) => {
                let revision = self.accept(number, state);
                self.prune(keep, Some(revision));
            }
            Step::Mark(revision, state) => {
                if let Some(at) = self.at(revision) {
                    let waited = matches!(self.items[at].state, State::Canary | State::Held);
                    if waited && state == State::Live {
                        self.put_last(revision);
                    }
                    self.set(revision, state);
                    self.prune(keep, None);
                }
            }
            Step::Pin(seen, run, why) => {
                if self.at(run).is_some() {
                    self.pin(seen, run, why);
                    self.prune(keep, None);
                }
            }
            Step::Unpin => self.pin = None,
            Step::Freeze(frozen) => self.frozen = frozen,
            Step::Reopen | Step::Die(..) => {}
        }
    }

    /// The same in the words of the store.
    fn is_like(&self, releases: &Releases) -> bool {
        let list = releases.list(&name());
        let like = |(item, record): (&Item, &Record)| {
            record.revision == item.revision
                && record.content == content(item.number)
                && record.state == item.state
                && releases.before(item.revision) == self.previous(item.revision)
        };
        let pin = releases.pinned(&name()).map(|p| (p.seen, p.run));
        list.len() == self.items.len()
            && self.items.iter().rev().zip(&list).all(like)
            && pin == self.pin.map(|(seen, run)| (content(seen), run))
            && releases.frozen(&name()) == self.frozen
    }
}

/// Does a step, and doesn't mind if it fails.
fn go(releases: &Releases, step: &Step) {
    match *step {
        Step::Accept(number, state) => drop(releases.take(number, state)),
        Step::Mark(revision, state) => drop(releases.mark(&name(), revision, state, None)),
        Step::Pin(seen, run, why) => drop(releases.pin(&name(), pin_of(seen, run, why))),
        Step::Unpin => drop(releases.unpin(&name())),
        Step::Freeze(frozen) => drop(releases.freeze(&name(), frozen)),
        Step::Reopen | Step::Die(..) => {}
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let states = prop::sample::select(vec![
        State::Live,
        State::Canary,
        State::Kept,
        State::TakenBack,
        State::Held,
    ]);
    let why = prop::sample::select(vec![Why::Operator, Why::TakenBack]);
    let simple = prop_oneof![
        6 => (0u8..12, prop::sample::select(vec![State::Live, State::Live, State::Canary, State::Held]))
            .prop_map(|(number, state)| Step::Accept(number, state)),
        3 => (1u64..14, states).prop_map(|(revision, state)| Step::Mark(revision, state)),
        3 => (0u8..12, 1u64..14, why).prop_map(|(seen, run, why)| Step::Pin(seen, run, why)),
        1 => Just(Step::Unpin),
        1 => any::<bool>().prop_map(Step::Freeze),
    ];
    let step = prop_oneof![
        8 => simple.clone(),
        1 => Just(Step::Reopen),
        3 => (0u32..24, simple).prop_map(|(changes, step)| Step::Die(changes, Box::new(step))),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_store_does_what_the_model_does(steps in steps(), keep in 1usize..6) {
        let fixture = Fixture::new();
        let mut releases = fixture.open(keep);
        let mut model = Model::default();
        for step in &steps {
            match step {
                Step::Reopen => releases = fixture.open(keep),
                Step::Die(changes, step) => {
                    let mut done = model.clone();
                    done.go(step, keep);
                    dying_after(*changes, || go(&releases, step));
                    releases = fixture.open(keep);
                    if done.is_like(&releases) {
                        model = done;
                    }
                }
                step => {
                    go(&releases, step);
                    model.go(step, keep);
                }
            }
            prop_assert!(model.is_like(&releases), "{step:?}: {:?} {model:?}", releases.list(&name()));
            let mut files = BTreeSet::from(["index.json".to_owned()]);
            for item in &model.items {
                let kept = releases.load(&name(), item.revision).unwrap();
                prop_assert_eq!(kept.component, component_of(item.number).into_bytes());
                prop_assert_eq!(kept.manifest, manifest_of(item.number));
                files.insert(format!("{}.wasm", kept.record.content.component));
                files.extend(kept.record.content.manifest.map(|m| format!("{m}.toml")));
            }
            if !model.items.is_empty() {
                prop_assert_eq!(fixture.names(), files.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
