//! Whether guests have an agent in their configuration: what asking it tells, and where that changed unseen.

use std::collections::BTreeMap;

use super::guests::Guest;
use super::seen::Seen;
use super::server::NODE;
use super::{Call, Plan};

/// What is believed of one guest's configuration.
#[derive(Debug, Clone, Copy)]
struct Belief {
    agent: bool,
    /// Its last start, where a change of the configuration takes effect.
    start: Option<usize>,
}

/// What an answer tells of the agent's option; nothing if it was refused for another reason.
fn told(one: &Seen) -> Option<bool> {
    let refusal = one.refusal();
    if refusal.contains("No QEMU guest agent configured") {
        return Some(false);
    }
    let asked = refusal.contains("QEMU guest agent is not running") || refusal.starts_with("Agent error");
    let stopped = one.status == 500 && refusal.ends_with("is not running");
    (one.ok() || asked || stopped).then_some(true)
}

/// Sets what the first answers tell, and changes it where later ones tell otherwise.
pub(super) fn add(plan: &mut Plan, seen: &[Seen], guests: &mut BTreeMap<u32, Guest>) {
    let mut beliefs: BTreeMap<u32, Belief> = BTreeMap::new();
    for (at, one) in seen.iter().enumerate() {
        let Some((_, vmid, below)) = one.guest() else { continue };
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        match (one.method.as_str(), below.as_slice()) {
            ("POST", ["status", "start"]) if one.done() => {
                if let Some(belief) = beliefs.get_mut(&vmid) {
                    belief.start = Some(at);
                }
            }
            ("PUT" | "POST", ["config"]) if one.done() && one.form.contains_key("agent") => {
                let agent = one.form.get("agent").is_some_and(|a| a.contains('1'));
                beliefs.insert(vmid, Belief { agent, start: None });
            }
            (_, ["agent"]) if one.is("POST") => learn(plan, guests, &mut beliefs, (at, vmid), told(one)),
            (_, ["agent", _]) => learn(plan, guests, &mut beliefs, (at, vmid), told(one)),
            _ => {}
        }
    }
}

fn learn(
    plan: &mut Plan,
    guests: &mut BTreeMap<u32, Guest>,
    beliefs: &mut BTreeMap<u32, Belief>,
    (at, vmid): (usize, u32),
    told: Option<bool>,
) {
    let Some(agent) = told else { return };
    let Some(belief) = beliefs.get_mut(&vmid) else {
        if let Some(guest) = guests.get_mut(&vmid) {
            if agent {
                guest.config.entry("agent".to_owned()).or_insert_with(|| "1".to_owned());
            } else {
                guest.config.remove("agent");
            }
        }
        beliefs.insert(vmid, Belief { agent, start: None });
        return;
    };
    if belief.agent != agent {
        let form: &[(&str, &str)] = if agent { &[("agent", "1")] } else { &[("delete", "agent")] };
        let call = Call::new("PUT", &format!("/nodes/{NODE}/qemu/{vmid}/config"), form);
        plan.before.entry(belief.start.unwrap_or(at)).or_default().push(call);
        *belief = Belief { agent, start: None };
    }
}
