//! Fault scripts: what goes wrong with a Proxmox VE, on purpose.
//!
//! A script is a JSON text: `about` says what happens, `rules` are for [`Options::faults`](crate::Options::faults) or
//! the control door, `calls` show it on a simulator as it starts. `docs/pve-sim/faults.md` explains them.

use serde_json::Value;

/// All scripts: a name, and its text.
const ALL: [(&str, &str); 7] = [
    ("vmid-race", include_str!("../scripts/vmid-race.json")),
    ("delete-of-running", include_str!("../scripts/delete-of-running.json")),
    ("lock-timeout", include_str!("../scripts/lock-timeout.json")),
    ("hotplug-fails", include_str!("../scripts/hotplug-fails.json")),
    ("ha-managed", include_str!("../scripts/ha-managed.json")),
    ("node-lost", include_str!("../scripts/node-lost.json")),
    ("answer-lost", include_str!("../scripts/answer-lost.json")),
];

/// The names of the scripts.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The text of a script.
pub fn text(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The rules of a script, for [`Options::faults`](crate::Options::faults).
pub fn rules(name: &str) -> Option<Vec<Value>> {
    let mut script: Value = serde_json::from_str(text(name)?).ok()?;
    match script["rules"].take() {
        Value::Array(rules) => Some(rules),
        _ => None,
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::faults::Rule;

    #[test]
    fn every_script_says_what_it_is_about_and_has_rules_that_can_be_posted() {
        for name in names() {
            let script: Value = serde_json::from_str(text(name).unwrap()).unwrap();
            assert!(script["about"].as_str().unwrap().ends_with('.'), "{name}");
            for rule in rules(name).unwrap() {
                serde_json::from_value::<Rule>(rule).unwrap();
            }
        }
        assert!(rules("no-such-script").is_none());
    }
}
