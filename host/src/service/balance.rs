//! Which ready instance gets the next job.
//!
//! Least in-flight first; among equals the turn goes round, so that under light load every
//! instance stays warm and none collects all the work.

/// What the choice sees of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests it holds now.
    pub in_flight: usize,
    /// Requests it may hold at once; 0 for one that takes no more.
    pub capacity: usize,
}

/// The index of the instance that gets the job, or `None` if all are full. `turn` is the index
/// where the search starts, usually one past the last choice.
pub fn choose(loads: impl ExactSizeIterator<Item = Load> + Clone, turn: usize) -> Option<usize> {
    let count = loads.len();
    if count == 0 {
        return None;
    }
    let start = turn % count;
    let by_turn = |index: usize| (index + count - start) % count;
    loads
        .enumerate()
        .filter(|(_, load)| load.in_flight < load.capacity)
        .min_by_key(|(index, load)| (load.in_flight, by_turn(*index)))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load() -> impl Strategy<Value = Load> {
        (0usize..5, 0usize..5).prop_map(|(in_flight, capacity)| Load {
            in_flight,
            capacity,
        })
    }

    proptest! {
        #[test]
        fn the_chosen_has_room_and_nobody_with_room_has_less(loads in prop::collection::vec(load(), 0..12), turn: usize) {
            let room: Vec<usize> = loads.iter().filter(|l| l.in_flight < l.capacity).map(|l| l.in_flight).collect();
            match choose(loads.iter().copied(), turn) {
                None => prop_assert!(room.is_empty()),
                Some(index) => {
                    prop_assert!(loads[index].in_flight < loads[index].capacity);
                    prop_assert_eq!(Some(loads[index].in_flight), room.into_iter().min());
                }
            }
        }

        #[test]
        fn equals_take_turns(count in 1usize..12, rounds in 1usize..5) {
            let loads = vec![Load { in_flight: 0, capacity: 1 }; count];
            let mut served = vec![0; count];
            let mut turn = 0;
            for _ in 0..count * rounds {
                let index = choose(loads.iter().copied(), turn).unwrap();
                served[index] += 1;
                turn = index + 1;
            }
            prop_assert!(served.iter().all(|&times| times == rounds));
        }
    }
}
