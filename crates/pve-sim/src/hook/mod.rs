//! The guest hook: what runs inside the VMs attaches here, from outside.
//!
//! `docs/reference/guest-hook.md` is the contract. Promises that at most one program is attached, that
//! events come in order, and that answers for a run that is over are refused.

pub(crate) mod paper;
mod shell;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key, option_of};
use crate::state::guest::GuestKind;

/// The attached program, if any.
#[derive(Debug, Default)]
pub(crate) struct Hook {
    sender: Option<mpsc::UnboundedSender<String>>,
    calls: BTreeMap<String, oneshot::Sender<Value>>,
    next_call: u64,
}

impl Hook {
    /// Whether somebody listens.
    pub(crate) fn attached(&self) -> bool {
        self.sender.as_ref().is_some_and(|s| !s.is_closed())
    }

    pub(crate) fn send(&self, event: &Value) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(format!("{event}\n"));
        }
    }

    /// Attaches; none if somebody is there already.
    pub(crate) fn attach(&mut self) -> Option<mpsc::UnboundedReceiver<String>> {
        if self.attached() {
            return None;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        self.sender = Some(sender);
        Some(receiver)
    }

    /// Asks the guest's agent; the receiver is answered by [`Hook::answer`].
    pub(crate) fn ask(&mut self, vmid: u32, run: &str, command: &str, arguments: &Value) -> oneshot::Receiver<Value> {
        self.next_call += 1;
        let call = format!("c{}", self.next_call);
        let (sender, receiver) = oneshot::channel();
        self.calls.retain(|_, waiting| !waiting.is_closed());
        self.calls.insert(call.clone(), sender);
        self.send(&json!({
            "event": "agent-call", "vmid": vmid, "run": run, "call": call,
            "command": command, "arguments": arguments,
        }));
        receiver
    }

    /// The answer of an agent call; false if nobody waits for it.
    pub(crate) fn answer(&mut self, call: &str, answer: Value) -> bool {
        self.calls.remove(call).is_some_and(|waiting| waiting.send(answer).is_ok())
    }
}

fn card(key: &str, text: &str) -> Value {
    let first = text.split(',').next().unwrap_or_default();
    let (model, mac) = first.split_once('=').unwrap_or((first, ""));
    let number = |name: &str| option_of(text, name).and_then(|v| v.parse::<u32>().ok());
    json!({
        "key": key, "model": model, "mac": mac, "bridge": option_of(text, "bridge"),
        "tag": number("tag"), "mtu": number("mtu"),
        "link_down": option_of(text, "link_down") == Some("1"),
    })
}

fn drive(world: &World, node: &str, key: &str, text: &str) -> Value {
    let volid = file_of(text);
    let volume = world.volumes.find(volid, node);
    let size = volume.map_or(0, |v| v.size);
    let media = if is_cdrom(text) { "cdrom" } else { "disk" };
    let (serial, wwn) = (option_of(text, "serial"), option_of(text, "wwn"));
    let mut drive = json!({"key": key, "volid": volid, "media": media, "size": size, "serial": serial, "wwn": wwn});
    if let Some(file) = volume.and_then(|v| world.contents.file(v)) {
        drive["file"] = json!(file);
    }
    drive
}

/// A running guest as the hook speaks of it.
pub(crate) fn describe(world: &World, vmid: u32) -> Option<Value> {
    let guest = world.guests.get(&vmid).filter(|g| g.is(GuestKind::Qemu))?;
    let run = guest.run.as_ref()?;
    let hardware = guest.hardware();
    let devices = run.devices.as_ref().unwrap_or(&hardware);
    let nics: Vec<Value> = devices.iter().filter(|(k, _)| is_net_key(k)).map(|(key, text)| card(key, text)).collect();
    let drives: Vec<Value> = devices
        .iter()
        .filter(|(key, text)| is_drive_key(key) && file_of(text) != "none")
        .map(|(key, text)| drive(world, &guest.node, key, text))
        .collect();
    let uuid = guest.get("smbios1").and_then(|s| option_of(s, "uuid"));
    Some(json!({
        "vmid": vmid, "run": run.id, "node": guest.node, "name": guest.name(), "uuid": uuid,
        "cores": guest.cpus(), "memory": guest.memory() >> 20, "agent": guest.agent_enabled(),
        "nics": nics, "drives": drives,
    }))
}

/// What QEMU has under this key has changed while the guest runs.
pub(crate) fn changed(world: &World, vmid: u32, key: &str) {
    let Some(guest) = world.guests.get(&vmid) else { return };
    let Some(run) = &guest.run else { return };
    let text = run.devices.as_ref().and_then(|d| d.get(key));
    let event = match text {
        Some(text) if is_net_key(key) => json!({"event": "nic-plugged", "nic": card(key, text)}),
        Some(text) => json!({"event": "drive-plugged", "drive": drive(world, &guest.node, key, text)}),
        None if is_net_key(key) => json!({"event": "nic-unplugged", "key": key}),
        None => json!({"event": "drive-unplugged", "key": key}),
    };
    tell(world, vmid, &run.id, event);
}

/// The guest was asked to let go of a drive that it had said it keeps.
pub(crate) fn kept(world: &World, vmid: u32, key: &str) {
    let Some(run) = world.guests.get(&vmid).and_then(|g| g.run.as_ref()) else { return };
    tell(world, vmid, &run.id, json!({"event": "unplug-refused", "key": key}));
}

fn tell(world: &World, vmid: u32, run: &str, mut event: Value) {
    event["vmid"] = json!(vmid);
    event["run"] = json!(run);
    world.hook.send(&event);
}

/// The line that a program gets first.
pub(crate) fn greeting(world: &World) -> String {
    let running: Vec<Value> = world.guests.keys().filter_map(|vmid| describe(world, *vmid)).collect();
    format!("{}\n", json!({"event": "attached", "running": running}))
}
