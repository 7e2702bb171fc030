//! A gambler who bets that the canary is worse.
//!
//! Of a block it is known how many requests were the canary's and how many failed. If the canary is
//! like the running release, chance alone says how many of its own did: that number is
//! hypergeometric, as in Fisher's exact test. If its odds to fail are `r` times as high the number
//! is Fisher's noncentral hypergeometric one. A bet on `r` is multiplied by how much likelier the
//! second makes what was seen. That is worth 1 on average where the canary is like the other, less
//! where it is better, so nobody gets rich who is wrong. The stake is spread over a few odds, and a
//! part is held back and placed little by little, so that what a good beginning lost can't hide a
//! canary that begins to fail late.

use super::block::Table;

/// Odds that are bet on.
const ODDS: [f64; 5] = [1.5, 2.5, 5.0, 20.0, 400.0];

/// How the stake is spread over them. Failures are rare in a release that is kept, so a bad one has
/// high odds.
pub(super) const FAILURES: [f64; 5] = [0.04, 0.06, 0.1, 0.65, 0.15];

/// A tenth of all answers is slow, so there they are low.
pub(super) const LATENCY: [f64; 5] = [0.1, 0.25, 0.35, 0.25, 0.05];

/// The part that is held back.
const RESERVE: f64 = 0.1;

/// In how many blocks a good deal of the reserve is placed.
const PATIENCE: f64 = 8.0;

/// Nothing that is multiplied or divided here becomes larger, or it might become infinite.
const LARGEST: f64 = 1e100;

#[derive(Clone, Debug)]
pub(super) struct Bets {
    spread: &'static [f64; 5],
    placed: [f64; 5],
    reserve: f64,
    blocks: f64,
}

impl Bets {
    pub(super) fn new(spread: &'static [f64; 5], stake: f64) -> Self {
        Self {
            spread,
            placed: spread.map(|part| part * stake * (1.0 - RESERVE)),
            reserve: stake * RESERVE,
            blocks: 0.0,
        }
    }

    /// What the stake has become: an e-value. Always finite, and more than 0.
    pub(super) fn wealth(&self) -> f64 {
        self.placed.iter().sum::<f64>() + self.reserve
    }

    /// A block is complete.
    pub(super) fn settle(&mut self, table: &Table) {
        let factors = factors(table);
        self.blocks += 1.0;
        let moved = self.reserve * 0.5 / (self.blocks + PATIENCE);
        self.reserve -= moved;
        for ((bet, factor), part) in self.placed.iter_mut().zip(factors).zip(self.spread) {
            *bet = (*bet * factor + moved * part).min(LARGEST);
        }
    }
}

/// What a bet on each of the odds is multiplied by.
fn factors(table: &Table) -> [f64; 5] {
    let Table {
        canary,
        all,
        canary_failed,
        all_failed,
    } = *table;
    if all_failed == 0 || all_failed == all || canary == 0 || canary == all {
        // only one number was possible
        return [1.0; 5];
    }
    let running = all - canary;
    // the likelihoods of all numbers that were possible, each divided by that of what was seen
    let (mut equal, mut worse) = (1.0, [1.0; 5]);
    let mut walk =
        |ratio: &dyn Fn(u32) -> f64, numbers: &mut dyn Iterator<Item = u32>, up: bool| {
            let (mut under_equal, mut under_worse) = (1.0, [1.0; 5]);
            for number in numbers {
                let ratio = ratio(number);
                under_equal = f64::min(under_equal * ratio, LARGEST);
                equal += under_equal;
                for ((term, sum), odds) in under_worse.iter_mut().zip(&mut worse).zip(ODDS) {
                    let odds = if up { odds } else { odds.recip() };
                    *term = f64::min(*term * ratio * odds, LARGEST);
                    *sum += *term;
                }
            }
        };
    let most = canary.min(all_failed);
    let least = all_failed.saturating_sub(running);
    // from `number` failures of the canary to one more
    let ratio = |number: u32| {
        f64::from(canary - number) * f64::from(all_failed - number)
            / (f64::from(number + 1) * f64::from(running + number + 1 - all_failed))
    };
    walk(&ratio, &mut (canary_failed..most), true);
    walk(
        &|number| ratio(number).recip(),
        &mut (least..canary_failed).rev(),
        false,
    );
    worse.map(|worse| equal / worse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How likely each number of failures of the canary is, from the least on.
    fn chances(canary: u32, all: u32, all_failed: u32, odds: f64) -> Vec<(u32, f64)> {
        let choose = |n: u32, k: u32| -> f64 {
            (0..k).fold(1.0, |product, i| {
                product * f64::from(n - i) / f64::from(i + 1)
            })
        };
        let running = all - canary;
        let weigh =
            |x: u32| choose(canary, x) * choose(running, all_failed - x) * odds.powf(f64::from(x));
        let numbers = all_failed.saturating_sub(running)..=canary.min(all_failed);
        let sum: f64 = numbers.clone().map(weigh).sum();
        numbers.map(|x| (x, weigh(x) / sum)).collect()
    }

    proptest! {
        #[test]
        fn a_bet_is_fair_where_the_canary_is_like_the_other_and_loses_where_it_is_better(
            all in 1u32..120, canary: u32, failed: u32, odds in 0.1..=1.0,
        ) {
            let (canary, all_failed) = (canary % (all + 1), failed % (all + 1));
            let worth = |odds| {
                let mut worth = [0.0; 5];
                for (canary_failed, chance) in chances(canary, all, all_failed, odds) {
                    let table = Table { canary, all, canary_failed, all_failed };
                    for (sum, factor) in worth.iter_mut().zip(factors(&table)) {
                        *sum += chance * factor;
                    }
                }
                worth
            };
            prop_assert!(worth(1.0).iter().all(|worth| (worth - 1.0).abs() < 1e-9));
            prop_assert!(worth(odds).iter().all(|worth| *worth < 1.0 + 1e-9));
        }

        #[test]
        fn what_a_bet_is_worth_is_finite_in_any_table(
            all in 1u32..=2048, canary: u32, failed: u32, own: u32, times in 1usize..200,
        ) {
            let (canary, all_failed) = (canary % (all + 1), failed % (all + 1));
            let least = all_failed.saturating_sub(all - canary);
            let most = canary.min(all_failed);
            for canary_failed in [least, most, least + own % (most - least + 1)] {
                let table = Table { canary, all, canary_failed, all_failed };
                let mut bets = Bets::new(&FAILURES, 1.0);
                for _ in 0..times {
                    bets.settle(&table);
                    prop_assert!(bets.wealth().is_finite() && bets.wealth() > 0.0);
                }
            }
        }
    }

    #[test]
    fn one_failure_weighs_no_more_than_its_odds_and_is_never_enough() {
        for (canary, all) in [(1, 10), (10, 100), (16, 32), (1, 2048)] {
            let table = Table {
                canary,
                all,
                canary_failed: 1,
                all_failed: 1,
            };
            let mut bets = Bets::new(&FAILURES, 1.0);
            bets.settle(&table);
            let most = f64::from(all) / f64::from(canary);
            assert!(bets.wealth() > 1.0 && bets.wealth() < most.min(100.0));
        }
    }

    #[test]
    fn a_good_beginning_hides_nothing() {
        let table = |canary_failed| Table {
            canary: 8,
            all: 80,
            canary_failed,
            all_failed: canary_failed + 14,
        };
        let mut bets = Bets::new(&FAILURES, 1.0);
        for _ in 0..1000 {
            bets.settle(&table(1));
        }
        let blocks = (1..100).find(|_| {
            bets.settle(&table(5));
            bets.wealth() >= 100.0
        });
        assert!(blocks.is_some_and(|blocks| blocks <= 10), "{blocks:?}");
    }
}
