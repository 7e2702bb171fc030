//! Whether pools wait for one another for ever.
//!
//! An instance that calls another service holds its place while the call waits for one. A calls B and
//! B calls A: once every place of both is held by somebody who waits for the other, none of them ever
//! gets on. The call that would close such a ring is refused, so that nobody waits for it.

/// Whether nothing that holds a place in `pool` can go on. `waits` tells for a pool whose every place
/// waits which pools they wait for, and `None` for one in which something moves, or can begin.
pub(super) fn is_stuck<P: PartialEq>(pool: P, waits: impl Fn(&P) -> Option<Vec<P>>) -> bool {
    let mut seen = vec![pool];
    let mut next = 0;
    while let Some(pool) = seen.get(next) {
        let Some(others) = waits(pool) else {
            return false;
        };
        for other in others {
            if !seen.contains(&other) {
                seen.push(other);
            }
        }
        next += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuck(from: usize, waits: &[Option<Vec<usize>>]) -> bool {
        is_stuck(from, |pool| waits[*pool].clone())
    }

    #[test]
    fn a_ring_of_full_pools_is_stuck_and_a_chain_that_ends_in_work_is_not() {
        assert!(stuck(0, &[Some(vec![1]), Some(vec![0])]));
        assert!(stuck(0, &[Some(vec![0])]));
        assert!(!stuck(0, &[Some(vec![1]), None]));
        assert!(!stuck(0, &[None]));
        // one of those that it waits for moves, and frees a place when it is done
        assert!(!stuck(0, &[Some(vec![0, 1]), None]));
    }

    proptest! {
        /// The definition: of the stuck pools each waits, and only for stuck ones.
        #[test]
        fn what_is_stuck_waits_only_for_what_is_stuck(
            waits in prop::collection::vec(prop::option::of(prop::collection::vec(0usize..6, 1..4)), 6)
        ) {
            for from in 0..6 {
                let all = waits[from].as_ref().is_some_and(|others| others.iter().all(|&other| stuck(other, &waits)));
                prop_assert_eq!(stuck(from, &waits), all);
            }
        }
    }
}
