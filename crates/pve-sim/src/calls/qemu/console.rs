//! Consoles and what is typed into them: VNC, terminals, SPICE, keys, QEMU's monitor.
//!
//! Promises the answers and tickets; nobody listens on the port, so that the task ends as it does when no viewer comes.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom};
use crate::state::guest::Guest;

/// How long a console waits for its viewer.
const PATIENCE: f64 = 10.0;

fn must_run<'w>(world: &'w World, call: &Call<'_>) -> Result<&'w Guest, Fail> {
    let guest = world.guest(call.node(), call.vmid())?;
    if guest.running() { Ok(guest) } else { Err(Fail::die(format!("VM {} not running", guest.vmid))) }
}

/// A ticket for one console, and the task that waits for the viewer.
fn open(world: &mut World, call: &Call<'_>, port: &str) -> (Value, String) {
    let vmid = call.vmid();
    let time = world.seconds();
    let secret = world.chance.hex(64);
    let ticket = format!("PVEVNC:{time:08X}::{secret}");
    let after = world.pace.scaled(PATIENCE);
    let upid = world.spawn(call.node(), "vncproxy", &vmid.to_string(), call.who, Job::Console, after);
    world.log(&upid, format!("starting vnc proxy {upid}"));
    (json!({"user": call.who.user(), "port": port, "upid": upid}), ticket)
}

fn certificate(world: &World, node: &str) -> String {
    let fingerprint = world.node(node).map_or_else(String::new, |n| n.fingerprint.replace(':', ""));
    format!("-----BEGIN CERTIFICATE-----\n{fingerprint}\n-----END CERTIFICATE-----\n")
}

pub(crate) fn vnc(world: &mut World, call: &Call<'_>) -> Outcome {
    world.guest(call.node(), call.vmid())?;
    let password = world.chance.hex(8);
    let (mut data, ticket) = open(world, call, "5900");
    data["ticket"] = json!(format!("{password}:{ticket}"));
    data["password"] = json!(password);
    data["cert"] = json!(certificate(world, call.node()));
    now(data)
}

pub(crate) fn websocket(world: &mut World, call: &Call<'_>) -> Outcome {
    world.guest(call.node(), call.vmid())?;
    if !call.str("vncticket").contains("PVEVNC:") {
        return Err(Fail::with(401, "permission denied - invalid PVEVNC ticket").into());
    }
    now(json!({"port": call.str("port")}))
}

pub(crate) fn terminal(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    match call.get("serial") {
        Some(serial) if guest.get(serial) != Some("socket") => {
            return Err(Fail::die(format!("serial interface '{serial}' is not configured")).into());
        }
        None if !guest.config.keys().any(|k| k.starts_with("serial")) => {
            return Err(Fail::die("unable to find a serial interface").into());
        }
        _ => {}
    }
    let (mut data, ticket) = open(world, call, "5900");
    data["ticket"] = json!(ticket);
    now(data)
}

pub(crate) fn spice(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = must_run(world, call)?;
    if !guest.get("vga").is_some_and(|v| v.contains("qxl") || v.starts_with("virtio")) {
        return Err(Fail::die("no spice port").into());
    }
    let title = format!("VM {} - {}", guest.vmid, guest.name());
    let ca = certificate(world, call.node());
    let node = call.node().to_owned();
    let ip = world.node(&node).map_or_else(String::new, |n| n.ip.clone());
    let proxy = call.get("proxy").map_or(ip, str::to_owned);
    let (password, secret) = (world.chance.hex(40), world.chance.hex(40));
    let time = world.seconds();
    now(json!({
        "type": "spice", "title": title, "host": format!("pvespiceproxy:{time:08x}:{}:{node}:61000::{secret}", call.vmid()),
        "proxy": format!("http://{proxy}:3128"), "tls-port": 61000, "password": password, "ca": ca,
        "host-subject": format!("OU=PVE Cluster Node,O=Proxmox Virtual Environment,CN={node}"),
        "delete-this-file": 1, "secure-attention": "Ctrl+Alt+Ins", "toggle-fullscreen": "Shift+F11",
        "release-cursor": "Ctrl+Alt+R",
    }))
}

pub(crate) fn send_key(world: &mut World, call: &Call<'_>) -> Outcome {
    if call.flag("skiplock") && !call.who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option.").into());
    }
    must_run(world, call)?;
    let wrong = call.str("key").split('-').find(|key| !is_key(key));
    if let Some(key) = wrong {
        return Err(Fail::die(format!("invalid parameter: {key}")).into());
    }
    now(Value::Null)
}

/// QEMU's names of keys, as far as they follow a rule.
fn is_key(name: &str) -> bool {
    let named = [
        "ret",
        "spc",
        "esc",
        "tab",
        "backspace",
        "ctrl",
        "ctrl_r",
        "alt",
        "alt_r",
        "shift",
        "shift_r",
        "meta_l",
        "meta_r",
        "delete",
        "insert",
        "home",
        "end",
        "pgup",
        "pgdn",
        "up",
        "down",
        "left",
        "right",
        "caps_lock",
        "num_lock",
        "scroll_lock",
        "sysrq",
        "print",
        "pause",
        "menu",
        "minus",
        "equal",
        "comma",
        "dot",
        "slash",
        "semicolon",
        "apostrophe",
        "grave_accent",
        "backslash",
        "bracket_left",
        "bracket_right",
        "less",
        "asterisk",
        "compose",
    ];
    let function = name.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=24).contains(&n));
    let code = name.strip_prefix("0x").is_some_and(|n| u32::from_str_radix(n, 16).is_ok());
    let single = name.len() == 1 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    single || function || code || named.contains(&name) || name.starts_with("kp_")
}

pub(crate) fn monitor(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let command = call.str("command").trim();
    let reads = command == "help" || command == "info" || command.starts_with("info ") || command.starts_with("help ");
    if !reads {
        world.need(call.who, &format!("/vms/{}", guest.vmid), &["Sys.Modify"])?;
    }
    if !guest.running() {
        return now(json!(format!("ERROR: VM {} not running\n", guest.vmid)));
    }
    now(json!(said(world, guest, command)))
}

/// What the monitor prints.
fn said(world: &World, guest: &Guest, command: &str) -> String {
    let run = guest.run.as_ref();
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["info", "status"] => {
            let paused = run.is_some_and(|r| r.paused);
            let status = if paused {
                "paused"
            } else if run.is_some_and(|r| r.asleep) {
                "suspended"
            } else {
                "running"
            };
            format!("VM status: {status}\r\n")
        }
        ["info", "version"] => "10.0.13pve-qemu-kvm_10.0.13\r\n".to_owned(),
        ["info", "name"] => format!("{}\r\n", guest.name()),
        ["info", "uuid"] => format!("{}\r\n", guest.get("smbios1").and_then(|s| s.strip_prefix("uuid=")).unwrap_or("")),
        ["info", "kvm"] => {
            let state = if guest.get("kvm") == Some("0") { "disabled" } else { "enabled" };
            format!("kvm support: {state}\r\n")
        }
        ["info", "balloon"] => format!("balloon: actual={}\r\n", guest.memory() >> 20),
        ["info", "block"] => devices(guest).iter().map(|(key, text)| block(world, guest, key, text)).collect(),
        ["info", "block", drive] => {
            let found = devices(guest).into_iter().find(|(key, _)| drive.strip_prefix("drive-") == Some(key.as_str()));
            match found {
                Some((key, text)) => block(world, guest, &key, &text),
                None => format!("Device '{drive}' not found\r\n"),
            }
        }
        ["info" | "help", ..] => "\r\n".to_owned(),
        [name, ..]
            if !["eject", "device_add", "device_del", "balloon", "set_link", "sendkey", "stop", "cont"]
                .contains(name) =>
        {
            format!("unknown command: '{name}'\r\n")
        }
        _ => String::new(),
    }
}

fn devices(guest: &Guest) -> Vec<(String, String)> {
    let hardware = guest.hardware();
    let devices = guest.run.as_ref().and_then(|r| r.devices.clone()).unwrap_or(hardware);
    devices.into_iter().filter(|(k, _)| crate::state::drive::is_drive_key(k)).collect()
}

fn block(world: &World, guest: &Guest, key: &str, text: &str) -> String {
    let volid = file_of(text);
    let (store, name) = volid.split_once(':').unwrap_or_default();
    let path = world.storages.get(store).map_or_else(|| volid.to_owned(), |s| s.file(name));
    let format = world.volumes.find(volid, &guest.node).map_or("raw", |v| v.format.as_str());
    if is_cdrom(text) {
        let medium =
            if volid == "none" { "[not inserted]".to_owned() } else { format!("{path} ({format}, read-only)") };
        return format!("drive-{key}: {medium}\r\n    Removable device: not locked, tray closed\r\n");
    }
    format!("drive-{key}: {path} ({format})\r\n    Cache mode:       writeback\r\n    Detect zeroes:    off\r\n")
}
