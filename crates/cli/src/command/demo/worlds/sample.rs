//! Which worlds are made: all, or a sample that a seed chooses.
//!
//! A sample has one world of each step before it has two of any, and stays within a budget of time.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::world::World;

/// Seconds that a sample may take by what its worlds are known to take.
const BUDGET: u64 = 150;

/// How many worlds are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Count {
    /// All of them.
    All,
    /// So many at most.
    Some(usize),
    /// Those whose ids begin so; several beginnings have commas between them.
    Named(String),
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            ids if ids.split(',').all(|id| super::table().any(|world| world.id.starts_with(id))) => {
                Ok(Self::Named(ids.to_owned()))
            }
            _ => text.parse().map(Self::Some).map_err(|_| {
                format!("`{text}` is no number, not `all`, and no world's id begins so (`csi`, `api.no-majority`)")
            }),
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Some(count) => write!(f, "{count}"),
            Self::Named(id) => f.write_str(id),
        }
    }
}

/// The worlds that are made, in the order of the table. The same seed chooses the same.
pub(super) fn choose<'a>(all: &[&'a World], count: &Count, seed: u64) -> Vec<&'a World> {
    let count = match count {
        Count::All => return all.to_vec(),
        Count::Named(ids) => {
            let named = |world: &&&World| ids.split(',').any(|id| world.id.starts_with(id));
            return all.iter().filter(named).copied().collect();
        }
        Count::Some(count) => *count,
    };
    let mut order: Vec<usize> = (0..all.len()).collect();
    let mut chance = Chance(seed);
    for at in (1..order.len()).rev() {
        order.swap(at, chance.below(at + 1));
    }
    let (mut taken, mut steps, mut cost) = (BTreeSet::new(), BTreeSet::new(), 0);
    for first_of_step in [true, false] {
        for &at in &order {
            let world = all[at];
            let turn = !first_of_step || !steps.contains(&world.step);
            if taken.len() < count && turn && cost + world.seconds <= BUDGET && taken.insert(at) {
                steps.insert(world.step);
                cost += world.seconds;
            }
        }
    }
    taken.into_iter().map(|at| all[at]).collect()
}

/// Numbers from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from((mixed ^ (mixed >> 31)) % limit).unwrap_or_default()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const fn world(id: &'static str, step: u8, seconds: u64) -> World {
        World { id, step, from: step, what: "", breaks: &[], with: &[], heals: &[], expects: &[], seconds }
    }

    const ALL: [World; 9] = [
        world("a1", 1, 5),
        world("a2", 1, 5),
        world("a3", 1, 5),
        world("b1", 2, 5),
        world("b2", 2, 5),
        world("b3", 2, 5),
        world("c1", 3, 100),
        world("c2", 3, 100),
        world("c3", 3, 100),
    ];

    fn ids(count: &Count, seed: u64) -> Vec<&'static str> {
        let all: Vec<&World> = ALL.iter().collect();
        choose(&all, count, seed).into_iter().map(|world| world.id).collect()
    }

    #[test]
    fn a_sample_has_one_of_each_step_before_two_of_any() {
        for seed in 0..50 {
            let chosen = ids(&Count::Some(3), seed);
            let steps: BTreeSet<char> = chosen.iter().filter_map(|id| id.chars().next()).collect();
            assert_eq!((chosen.len(), steps.len()), (3, 3), "seed {seed}: {chosen:?}");
        }
    }

    #[test]
    fn a_sample_stays_within_its_budget() {
        for seed in 0..50 {
            let chosen = ids(&Count::Some(9), seed);
            let long = chosen.iter().filter(|id| id.starts_with('c')).count();
            assert_eq!((chosen.len(), long), (7, 1), "two long ones are too long; seed {seed}: {chosen:?}");
        }
    }

    #[test]
    fn a_seed_chooses_the_same_and_seeds_differ() {
        assert_eq!(ids(&Count::Some(4), 7), ids(&Count::Some(4), 7));
        let different: BTreeSet<Vec<&str>> = (0..50).map(|seed| ids(&Count::Some(4), seed)).collect();
        assert!(different.len() > 10, "{different:?}");
        let seen: BTreeSet<&str> = different.into_iter().flatten().collect();
        assert_eq!(seen.len(), ALL.len(), "each has its turn");
    }

    #[test]
    fn all_means_all_and_none_means_none() {
        assert_eq!(ids(&Count::All, 1).len(), ALL.len());
        assert_eq!(ids(&Count::Some(0), 1), Vec::<&str>::new());
        assert_eq!("all".parse(), Ok(Count::All));
        assert_eq!("12".parse(), Ok(Count::Some(12)));
        assert!("many".parse::<Count>().unwrap_err().contains("`many`"));
        assert_eq!(ids(&Count::Named("b".to_owned()), 1), ["b1", "b2", "b3"]);
        for text in ["all", "12", "csi", "api.no-majority"] {
            assert_eq!(text.parse::<Count>().unwrap().to_string(), text);
        }
    }
}
