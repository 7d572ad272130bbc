//! Samples of long tests: another one each day, the same one when asked for.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::say;

/// Whether whole sweeps are wanted (`OXMOX_FULL=1`).
#[expect(clippy::disallowed_methods, reason = "how much is tested is told by the environment")]
pub fn full() -> bool {
    std::env::var("OXMOX_FULL").is_ok_and(|text| text == "1")
}

/// Today's seed, or that of `OXMOX_SEED`; printed, so that a failure can be had again.
#[expect(clippy::disallowed_methods, reason = "the seed comes from the day or from the environment")]
pub fn seed(name: &str) -> u64 {
    const DAY: u64 = 86_400;
    let today = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / DAY);
    let seed = std::env::var("OXMOX_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(today);
    say(&format!("{name}: OXMOX_SEED={seed}"));
    seed
}

/// So many of them, chosen by the seed; all when whole sweeps are wanted.
pub fn sample<T>(mut all: Vec<T>, count: usize, seed: u64) -> Vec<T> {
    if full() {
        return all;
    }
    // splitmix64: small numbers as seeds do as well as others
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut chosen = Vec::new();
    while chosen.len() < count && !all.is_empty() {
        let bound = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let at = usize::try_from(next() % bound).unwrap_or(0);
        chosen.push(all.swap_remove(at));
    }
    chosen
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_seed_always_chooses_the_same_and_nothing_twice() {
        let choose = |seed| sample((0..20).collect::<Vec<_>>(), 5, seed);
        if full() {
            return;
        }
        assert_eq!(choose(7), choose(7));
        assert_ne!(choose(7), choose(8));
        let mut once = choose(7);
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), 5);
    }
}
