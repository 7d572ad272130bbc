//! What a caller says of its rounds: `N TARGET open|closed` for each target, then `N end`.

use std::collections::BTreeSet;

use crate::evidence::Target;

/// One whole round of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Whether the control answered.
    pub(super) control: bool,
    /// The targets that answered.
    pub(super) open: BTreeSet<Target>,
}

/// The last round that was said to its end: so many targets and the control.
pub(super) fn last_round(log: &str, wanted: usize) -> Option<Round> {
    let end = log.lines().rev().find_map(|line| line.strip_suffix(" end"))?;
    let number: u64 = end.parse().ok()?;
    let mut round = Round { number, control: false, open: BTreeSet::new() };
    let mut targets = 0;
    for line in log.lines() {
        let mut words = line.split(' ');
        if words.next() != Some(end) {
            continue;
        }
        let (Some(target), Some(state)) = (words.next(), words.next()) else { continue };
        targets += 1;
        if state != "open" {
            continue;
        }
        match Target::CILIUM.into_iter().find(|one| one.as_str() == target) {
            Some(target) => _ = round.open.insert(target),
            None => round.control |= target == "control",
        }
    }
    // The beginning of a round may lie before the lines that were read.
    (targets == wanted + 1).then_some(round)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_a_round_that_was_said_whole_counts() {
        let log = "6 side closed\n6 service open\n6 control open\n6 end\n7 web open\n7 side closed\n7 service open\n\
                   7 control open\n7 end\n8 web closed\n";
        let round = last_round(log, 3).unwrap();
        assert_eq!((round.number, round.control), (7, true));
        assert_eq!(round.open, BTreeSet::from([Target::Web, Target::Service]));
        assert_eq!(last_round("6 side open\n6 control open\n6 end\n7 web open\n", 3), None);
        assert_eq!(last_round("sh: nc: not found\n", 3), None);
    }

    #[test]
    fn a_round_without_the_control_says_so() {
        let log = "1 web closed\n1 side closed\n1 service closed\n1 control closed\n1 end\n";
        assert!(!last_round(log, 3).unwrap().control);
    }
}
