//! What a guest of paper answers when its agent is asked.
//!
//! Promises that what is written can be read again, that what is started can be asked after once, and that frozen
//! file systems stay frozen until they are thawed. Runs nothing: `guest-exec` is played by [`super::shell`].

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::shell;
use crate::state::World;
use crate::state::drive::{is_cdrom, is_drive_key, is_net_key, option_of};
use crate::state::guest::{Guest, Inside, Run};

/// The commands that its agent knows.
const COMMANDS: &[&str] = &[
    "guest-exec",
    "guest-exec-status",
    "guest-file-close",
    "guest-file-flush",
    "guest-file-open",
    "guest-file-read",
    "guest-file-seek",
    "guest-file-write",
    "guest-fsfreeze-freeze",
    "guest-fsfreeze-freeze-list",
    "guest-fsfreeze-status",
    "guest-fsfreeze-thaw",
    "guest-fstrim",
    "guest-get-cpustats",
    "guest-get-disks",
    "guest-get-diskstats",
    "guest-get-fsinfo",
    "guest-get-host-name",
    "guest-get-load",
    "guest-get-memory-block-info",
    "guest-get-memory-blocks",
    "guest-get-osinfo",
    "guest-get-time",
    "guest-get-timezone",
    "guest-get-users",
    "guest-get-vcpus",
    "guest-info",
    "guest-network-get-interfaces",
    "guest-network-get-route",
    "guest-ping",
    "guest-set-memory-blocks",
    "guest-set-time",
    "guest-set-user-password",
    "guest-set-vcpus",
    "guest-shutdown",
    "guest-ssh-add-authorized-keys",
    "guest-ssh-get-authorized-keys",
    "guest-ssh-remove-authorized-keys",
    "guest-suspend-disk",
    "guest-suspend-hybrid",
    "guest-suspend-ram",
    "guest-sync",
    "guest-sync-delimited",
];

/// The answer, in the agent's words: `{"return": …}` or `{"error": …}`.
pub(crate) fn answer(world: &mut World, vmid: u32, command: &str, arguments: &Value) -> Value {
    let now = world.now;
    let pace = world.pace.scaled(1.0);
    let Some(guest) = world.guests.get_mut(&vmid) else { return wrong("no such guest") };
    let disks = disk_names(guest);
    let inside = shell::Inside { disks: &disks, lacks: &world.guests_lack, ..shell::Inside::default() };
    if let Some(run) = guest.run.as_mut()
        && let Some(answer) = acts(run, command, arguments, inside, (now, pace))
    {
        if matches!(command, "guest-shutdown" | "guest-suspend-disk") {
            world.powered_off(vmid);
        }
        return answer;
    }
    if let Some(value) = world.guests.get(&vmid).and_then(|guest| tells(guest, command, now)) {
        return json!({"return": value});
    }
    let text = format!("The command {command} has not been found");
    json!({"error": {"class": "CommandNotFound", "desc": text}})
}

fn wrong(text: &str) -> Value {
    json!({"error": {"class": "GenericError", "desc": text}})
}

/// Commands that change something inside.
fn acts(
    run: &mut Run,
    command: &str,
    arguments: &Value,
    playing: shell::Inside<'_>,
    (now, pace): (f64, f64),
) -> Option<Value> {
    let word = |name: &str| arguments[name].as_str().unwrap_or_default();
    let inside = &mut run.inside;
    let value = match command {
        "guest-shutdown" | "guest-suspend-disk" | "guest-ping" => json!({}),
        "guest-suspend-ram" | "guest-suspend-hybrid" => {
            run.asleep = true;
            json!({})
        }
        "guest-fsfreeze-status" => json!(if inside.frozen { "frozen" } else { "thawed" }),
        "guest-fsfreeze-freeze" | "guest-fsfreeze-thaw" => {
            let freeze = command.ends_with("freeze-freeze");
            let changed = inside.frozen != freeze;
            inside.frozen = freeze;
            json!(i32::from(changed))
        }
        "guest-exec" => return Some(exec(inside, arguments, playing, (now, pace))),
        "guest-exec-status" => return Some(exec_status(inside, arguments["pid"].as_i64().unwrap_or_default(), now)),
        "guest-file-write" => {
            let path = word("path");
            if folder_is_missing(path) {
                return Some(wrong(&format!(
                    "failed to open file '{path}' (mode: '{}'): No such file or directory",
                    word("mode")
                )));
            }
            inside.files.insert(path.to_owned(), word("buf-b64").to_owned());
            json!({})
        }
        "guest-file-read" => {
            let path = word("path");
            let known = inside.files.get(path).cloned().or_else(|| shell::known_file(path).map(|t| STANDARD.encode(t)));
            let Some(text) = known else {
                return Some(wrong(&format!("failed to open file '{path}' (mode: 'r'): No such file or directory")));
            };
            let length = STANDARD.decode(&text).map_or(0, |bytes| bytes.len());
            json!({"buf-b64": text, "count": length, "eof": true})
        }
        _ => return None,
    };
    Some(json!({"return": value}))
}

/// Files are made in the folders that a system has.
fn folder_is_missing(path: &str) -> bool {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    !["", "/tmp", "/root", "/etc", "/var/tmp", "/run", "/home", "/opt", "/var/lib", "/mnt"].contains(&folder)
}

fn exec(inside: &mut Inside, arguments: &Value, playing: shell::Inside<'_>, (now, pace): (f64, f64)) -> Value {
    let path = arguments["path"].as_str().unwrap_or_default();
    let words: Vec<&str> = arguments["arg"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let input = arguments["input-data"].as_str().and_then(|t| STANDARD.decode(t).ok()).unwrap_or_default();
    let input = String::from_utf8_lossy(&input).into_owned();
    let Some(mut process) = shell::run(path, &words, shell::Inside { input: &input, ..playing }) else {
        return wrong(&format!(
            "Guest agent command failed, error was 'Failed to execute child process \u{201c}{path}\u{201d} (No such \
             file or directory)'"
        ));
    };
    process.until = now + process.until * pace;
    inside.last_pid = inside.last_pid.max(160) + 2;
    inside.processes.insert(inside.last_pid, process);
    json!({"return": {"pid": inside.last_pid}})
}

fn exec_status(inside: &mut Inside, pid: i64, now: f64) -> Value {
    let Some(process) = inside.processes.get(&pid) else {
        // The agent prints its number with a format that the other side doesn't know.
        return wrong("PID ld does not exist");
    };
    if process.until > now {
        return json!({"return": {"exited": false}});
    }
    let Some(process) = inside.processes.remove(&pid) else { return wrong("PID ld does not exist") };
    let mut data = json!({"exited": true, "exitcode": process.code});
    for (name, text) in [("out-data", &process.out), ("err-data", &process.err)] {
        if !text.is_empty() {
            data[name] = json!(STANDARD.encode(shell::bytes(text)));
        }
    }
    json!({"return": data})
}

/// Commands that only tell.
fn tells(guest: &Guest, command: &str, now: f64) -> Option<Value> {
    Some(match command {
        "guest-set-user-password" => json!({}),
        "guest-fstrim" => json!({"paths": [{"path": "/", "minimum": 0, "trimmed": 1 << 20}]}),
        "guest-get-memory-block-info" => json!({"size": 128 << 20}),
        "guest-get-memory-blocks" => {
            let blocks = (guest.memory() >> 27).clamp(1, 64);
            (0..blocks).map(|n| json!({"phys-index": n, "online": true, "can-offline": true})).collect()
        }
        "guest-info" => {
            let known = COMMANDS.iter().map(|name| json!({"name": name, "enabled": true, "success-response": true}));
            json!({"version": "10.0.13", "supported_commands": known.collect::<Value>()})
        }
        "guest-get-osinfo" => json!({
            "id": "ubuntu", "name": "Ubuntu", "pretty-name": "Ubuntu 24.04 LTS", "version": "24.04 LTS (Noble Numbat)",
            "version-id": "24.04", "kernel-release": "6.8.0-generic", "kernel-version": "#1 SMP", "machine": "x86_64",
        }),
        "guest-get-host-name" => json!({"host-name": guest.name()}),
        "guest-network-get-interfaces" => interfaces(guest),
        "guest-get-fsinfo" => json!([file_system(guest)]),
        "guest-get-users" => json!([]),
        #[expect(clippy::cast_possible_truncation, reason = "nanoseconds since the epoch fit in 64 bits")]
        "guest-get-time" => json!((now * 1e9) as i64),
        "guest-get-timezone" => json!({"zone": "UTC", "offset": 0}),
        "guest-get-vcpus" => {
            (0..guest.cpus()).map(|n| json!({"logical-id": n, "online": true, "can-offline": n > 0})).collect()
        }
        _ => return None,
    })
}

/// What the guest calls the disks that QEMU has: `sda`, `sdb`, `vda`.
fn disk_names(guest: &Guest) -> Vec<String> {
    let hardware = guest.hardware();
    let devices = guest.run.as_ref().and_then(|r| r.devices.as_ref()).unwrap_or(&hardware);
    let mut disks: Vec<(u32, &str)> = devices
        .iter()
        .filter(|(key, text)| is_drive_key(key) && !is_cdrom(text) && !key.ends_with("disk0") && !key.contains("tpm"))
        .map(|(key, _)| {
            let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
            (key[stem.len()..].parse().unwrap_or_default(), if stem == "virtio" { "vd" } else { "sd" })
        })
        .collect();
    disks.sort_unstable();
    let (mut scsi, mut virtio) = (0, 0);
    let mut names: Vec<String> = disks
        .into_iter()
        .map(|(_, prefix)| {
            let next = if prefix == "sd" { &mut scsi } else { &mut virtio };
            *next += 1;
            format!("{prefix}{}", letters(*next))
        })
        .collect();
    names.sort();
    names
}

/// 1 is `a`, 27 is `aa`.
fn letters(mut number: u32) -> String {
    let mut out = String::new();
    while number > 0 {
        number -= 1;
        let digit = u8::try_from(number % 26).unwrap_or_default();
        out.insert(0, char::from(b'a' + digit));
        number /= 26;
    }
    out
}

fn file_system(guest: &Guest) -> Value {
    let size = guest.max_disk();
    json!({
        "name": "sda", "mountpoint": "/", "type": "ext4", "total-bytes": size, "total-bytes-privileged": size,
        "used-bytes": size / 8,
        "disk": [{
            "bus": 0, "bus-type": "scsi", "dev": "/dev/sda", "target": 0, "unit": 0,
            "pci-controller": {"domain": 0, "bus": 1, "slot": 1, "function": 0},
        }],
    })
}

/// `lo` and the network cards, with the addresses of `ipconfigN` or of tags `ip_netN_ADDRESS`.
fn interfaces(guest: &Guest) -> Value {
    let statistics = json!({
        "rx-bytes": 0, "rx-packets": 0, "rx-errs": 0, "rx-dropped": 0,
        "tx-bytes": 0, "tx-packets": 0, "tx-errs": 0, "tx-dropped": 0,
    });
    let address = |text: &str, prefix: u32| {
        let kind = if text.contains(':') { "ipv6" } else { "ipv4" };
        json!({"ip-address": text, "ip-address-type": kind, "prefix": prefix})
    };
    let mut rows = vec![json!({
        "name": "lo", "hardware-address": "00:00:00:00:00:00", "statistics": statistics,
        "ip-addresses": [address("127.0.0.1", 8), address("::1", 128)],
    })];
    for (key, text) in guest.config.iter().filter(|(k, _)| is_net_key(k)) {
        let number = &key[3..];
        let mac = text.split(',').next().and_then(|f| f.split_once('=')).map_or("", |(_, m)| m).to_lowercase();
        let mut found = Vec::new();
        if let Some(ipconfig) = guest.get(&format!("ipconfig{number}")) {
            for cidr in [option_of(ipconfig, "ip"), option_of(ipconfig, "ip6")].into_iter().flatten() {
                if let Some((ip, prefix)) = cidr.split_once('/') {
                    found.push(address(ip, prefix.parse().unwrap_or(24)));
                }
            }
        }
        let tag = format!("ip_net{number}_");
        for ip in guest.get("tags").unwrap_or_default().split(';').filter_map(|t| t.strip_prefix(tag.as_str())) {
            if ip.parse::<IpAddr>().is_ok() {
                found.push(address(ip, 24));
            }
        }
        if let Some(local) = link_local(&mac) {
            found.push(address(&local, 64));
        }
        rows.push(json!({
            "name": format!("eth{number}"), "hardware-address": mac, "statistics": statistics, "ip-addresses": found,
        }));
    }
    Value::Array(rows)
}

/// The address that a card gives itself.
fn link_local(mac: &str) -> Option<String> {
    let bytes: Vec<u8> = mac.split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
    let mac: [u8; 6] = bytes.try_into().ok()?;
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let (first, second) = (pair(mac[0] ^ 2, mac[1]), pair(mac[2], 0xff));
    let address = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, first, second, pair(0xfe, mac[3]), pair(mac[4], mac[5]));
    Some(address.to_string())
}
