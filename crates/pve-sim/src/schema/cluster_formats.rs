//! The word-shaped formats of the cluster's own things: HA resources and nodes, schedules, mail addresses.

use super::formats::is_node_name;
use crate::calendar::Event;

/// What is wrong with a word, none if nothing is; `Err` if the format is none of these.
pub(super) fn check(format: &str, value: &str) -> Option<Result<(), String>> {
    let ok = match format {
        "pve-ha-resource-id" => {
            return Some(ensure(is_resource(value), "value does not look like a valid ha resource id"));
        }
        "pve-ha-resource-or-vm-id" => {
            let number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            return Some(ensure(is_resource(value) || number, "value does not look like a valid ha resource id"));
        }
        // The whole of `pve-ha-node-list` is split before: these are its words.
        "pve-ha-node" | "pve-ha-group-node" => {
            let (name, priority) = value.split_once(':').unwrap_or((value, "0"));
            let number = !priority.is_empty() && priority.bytes().all(|b| b.is_ascii_digit());
            return Some(ensure(is_node_name(name) && number, "value does not look like a valid ha group node"));
        }
        "pve-calendar-event" => {
            let text = format!("invalid calendar event '{value}'\n");
            return Some(if Event::parse(value).is_some() { Ok(()) } else { Err(text) });
        }
        "mac-prefix" => {
            let parts: Vec<&str> = value.split(':').collect();
            let hex = |p: &&str| p.len() == 2 && u8::from_str_radix(p, 16).is_ok();
            let unicast = parts.first().and_then(|p| u8::from_str_radix(p, 16).ok()).is_some_and(|b| b & 1 == 0);
            let ok = (1..=5).contains(&parts.len()) && parts.iter().all(hex) && unicast;
            return Some(ensure(ok, "value is not a valid unicast MAC address prefix"));
        }
        "email" | "email-opt" => value.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !value.chars().any(|c| c.is_whitespace() || c == ',')
        }),
        "graphite-path" => value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        _ => return None,
    };
    let text = match format {
        "graphite-path" => "value does not look like a valid graphite path",
        _ => "value does not look like a valid email address",
    };
    Some(ensure(ok, text))
}

fn ensure(ok: bool, text: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{text}\n")) }
}

/// `vm:100`.
fn is_resource(value: &str) -> bool {
    value.split_once(':').is_some_and(|(kind, name)| {
        !kind.is_empty()
            && kind.bytes().all(|b| b.is_ascii_lowercase())
            && !name.is_empty()
            && !name.contains(char::is_whitespace)
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn words_of_the_cluster_are_told_from_others() {
        let ok = |format: &str, value: &str| check(format, value).is_some_and(|r| r.is_ok());
        assert!(ok("pve-ha-resource-or-vm-id", "100") && ok("pve-ha-resource-or-vm-id", "ct:7"));
        assert!(!ok("pve-ha-resource-id", "100") && !ok("pve-ha-resource-id", "VM:1"));
        assert!(ok("pve-ha-node", "a-1:20") && !ok("pve-ha-node", "a:x") && !ok("pve-ha-node", "-a"));
        assert!(ok("pve-calendar-event", "mon 8:30") && !ok("pve-calendar-event", "never"));
        assert!(ok("mac-prefix", "BC:24") && !ok("mac-prefix", "01:00") && !ok("mac-prefix", "zz"));
        assert_eq!(check("pve-vmid", "100"), None, "others know that one");
    }
}
