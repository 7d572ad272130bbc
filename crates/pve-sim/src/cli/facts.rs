//! What a client needs to know of a simulator that has just started: text, JSON or lines for a shell.

use std::fmt::Write as _;

use pve_sim::Running;
use serde_json::{Value, json};

fn of(sim: &Running) -> Value {
    let tokens: Vec<_> = sim.tokens().iter().map(|(id, secret)| json!({"id": id, "secret": secret})).collect();
    json!({
        "url": sim.url(), "ca": sim.ca_pem(), "fingerprint": sim.fingerprint(), "control_url": sim.control_url(),
        "root_password": sim.root_password(), "seed": sim.seed(), "tokens": tokens,
    })
}

/// The first cluster's facts, and all of them under `clusters` if there are several.
pub(super) fn json(sims: &[Running]) -> Value {
    let mut all: Vec<Value> = sims.iter().map(of).collect();
    if all.len() == 1 {
        return all.remove(0);
    }
    let mut facts = all.first().cloned().unwrap_or_default();
    facts["clusters"] = Value::Array(all);
    facts
}

/// `PVE_URL=…`; further clusters have `PVE2_URL=…` and so on.
pub(super) fn env(sims: &[Running]) -> String {
    let mut out = String::new();
    for (at, sim) in sims.iter().enumerate() {
        let pve = if at == 0 { "PVE".to_owned() } else { format!("PVE{}", at + 1) };
        let _ = writeln!(out, "{pve}_URL={}\n{pve}_FINGERPRINT={}", sim.url(), sim.fingerprint());
        let _ = writeln!(out, "{pve}_CONTROL_URL={}\n{pve}_ROOT_PASSWORD={}", sim.control_url(), sim.root_password());
        for (id, secret) in sim.tokens() {
            let _ = writeln!(out, "{pve}_TOKEN_ID='{id}'\n{pve}_TOKEN_SECRET={secret}");
        }
        let _ = writeln!(out, "{pve}_CA='{}'", sim.ca_pem().trim_end());
    }
    out
}

pub(super) fn text(sims: &[Running]) -> String {
    let mut out = String::new();
    for sim in sims {
        let _ = writeln!(out, "API            {}\ncontrol door   {}", sim.url(), sim.control_url());
        let _ = writeln!(out, "fingerprint    {}\nroot@pam       {}", sim.fingerprint(), sim.root_password());
        for (id, secret) in sim.tokens() {
            let _ = writeln!(out, "token          {id}={secret}");
        }
        let _ = write!(out, "seed           {}\n{}", sim.seed(), sim.ca_pem());
    }
    out.push_str("Ctrl-C ends it.\n");
    out
}
