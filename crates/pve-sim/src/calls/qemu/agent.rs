//! Calls to the guest agent.
//!
//! With a program at the guest hook it answers, within five seconds; without, a paper guest does.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::calls::{AgentCall, Call, Done, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::drive::{is_net_key, option_of};
use crate::state::guest::Guest;

/// How the agent's answer is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `{"result": …}`, errors too.
    Result,
    /// As it is; errors are failures.
    Plain,
    ExecStatus,
    File,
    Nothing,
}

const COMMANDS: &[&str] = &[
    "fsfreeze-freeze",
    "fsfreeze-status",
    "fsfreeze-thaw",
    "fstrim",
    "get-fsinfo",
    "get-host-name",
    "get-memory-block-info",
    "get-memory-blocks",
    "get-osinfo",
    "get-time",
    "get-timezone",
    "get-users",
    "get-vcpus",
    "info",
    "network-get-interfaces",
    "ping",
    "shutdown",
    "suspend-disk",
    "suspend-hybrid",
    "suspend-ram",
];

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    let more = ["exec", "exec-status", "file-read", "file-write", "set-user-password"];
    let mut all: Vec<&str> = COMMANDS.iter().copied().chain(more).collect();
    all.sort_unstable();
    now(names("name", &all))
}

/// Whether the agent of a running VM answers.
pub(crate) fn is_up(world: &World, guest: &Guest) -> bool {
    let Some(run) = &guest.run else { return false };
    let paper = || !world.hook.attached() && world.agent_after.is_some_and(|s| world.now >= run.since + s);
    // What a program said of its guest counts while that program is there.
    let up = run.agent_up.map_or_else(paper, |up| up && world.hook.attached());
    guest.agent_enabled() && !run.paused && up
}

/// Whether the agent can be asked at all.
fn reach<'w>(world: &'w World, call: &Call<'_>) -> Result<Result<&'w Guest, Done>, Fail> {
    let guest = world.guest(call.node(), call.vmid())?;
    let absent = || Fail::die("QEMU guest agent is not running");
    if !guest.agent_enabled() {
        return Err(Fail::die("No QEMU guest agent configured"));
    }
    if !guest.running() {
        return Err(Fail::die(format!("VM {} is not running", guest.vmid)));
    }
    if is_up(world, guest) {
        return Ok(Ok(guest));
    }
    // The server pings for three seconds first.
    Ok(Err(Done::After(world.pace.scaled(3.0), Box::new(Err(absent())))))
}

fn ask(world: &mut World, call: &Call<'_>, command: &str, arguments: &Value, shape: Shape) -> Outcome {
    let vmid = call.vmid();
    match reach(world, call)? {
        Err(done) => return Ok(done),
        Ok(guest) if !world.hook.attached() => {
            let answer = paper(world, guest, command, arguments);
            return finish(&answer, shape).map(Done::Now).map_err(Into::into);
        }
        Ok(_) => {}
    }
    let run = world.guests.get(&vmid).and_then(|g| g.run.as_ref()).map_or_else(String::new, |r| r.id.clone());
    let receiver = world.hook.ask(vmid, &run, command, arguments);
    Ok(Done::Agent(receiver, AgentCall { vmid, command: command.to_owned(), shape }))
}

/// An agent's answer (`{"return": …}` or `{"error": …}`) as the API gives it.
pub(crate) fn finish(answer: &Value, shape: Shape) -> Result<Value, Fail> {
    let error = answer.get("error");
    let value = answer.get("return").cloned().unwrap_or_else(|| json!({}));
    if let Some(error) = error {
        if shape == Shape::Result {
            return Ok(json!({"result": {"error": error}}));
        }
        let text = error.get("desc").and_then(Value::as_str).unwrap_or("unknown");
        return Err(Fail::die(format!("Agent error: {text}")));
    }
    Ok(match shape {
        Shape::Result => json!({"result": value}),
        Shape::Plain => value,
        Shape::Nothing => Value::Null,
        Shape::ExecStatus => exec_answer(&value),
        Shape::File => {
            let mut data = json!({"content": ""});
            if let Some(text) = value.get("buf-b64").and_then(Value::as_str) {
                data["content"] = json!(decoded(text));
            }
            if let Some(count) = value.get("count") {
                data["bytes-read"] = count.clone();
            }
            data
        }
    })
}

fn decoded(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn exec_answer(value: &Value) -> Value {
    let mut data = json!({"exited": i32::from(value.get("exited").is_some_and(|v| v == true || v == 1))});
    for key in ["exitcode", "signal"] {
        if let Some(number) = value.get(key) {
            data[key] = number.clone();
        }
    }
    for key in ["out-data", "err-data"] {
        if let Some(text) = value.get(key).and_then(Value::as_str) {
            data[key] = json!(decoded(text));
            let truncated = key.replace("data", "truncated");
            data[&truncated] = json!(i32::from(value.get(&truncated).is_some_and(|v| v == true)));
        }
    }
    data
}

pub(crate) fn simple(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.method.path.rsplit('/').next().unwrap_or_default().to_owned();
    named(world, call, &name)
}

pub(crate) fn legacy(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("command").to_owned();
    named(world, call, &name)
}

fn named(world: &mut World, call: &Call<'_>, name: &str) -> Outcome {
    ask(world, call, &format!("guest-{name}"), &json!({}), Shape::Result)
}

pub(crate) fn exec(world: &mut World, call: &Call<'_>) -> Outcome {
    use base64::Engine as _;
    let text = call.str("command");
    let words: Vec<String> = serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()]);
    let mut words = words.into_iter();
    let path = words.next().unwrap_or_default();
    let mut arguments = json!({"path": path, "arg": words.collect::<Vec<_>>(), "capture-output": true});
    if let Some(input) = call.get("input-data") {
        arguments["input-data"] = json!(base64::engine::general_purpose::STANDARD.encode(input));
    }
    ask(world, call, "guest-exec", &arguments, Shape::Plain)
}

pub(crate) fn exec_status(world: &mut World, call: &Call<'_>) -> Outcome {
    let arguments = json!({"pid": call.number("pid")});
    ask(world, call, "guest-exec-status", &arguments, Shape::ExecStatus)
}

pub(crate) fn set_user_password(world: &mut World, call: &Call<'_>) -> Outcome {
    use base64::Engine as _;
    let password = base64::engine::general_purpose::STANDARD.encode(call.str("password"));
    let arguments = json!({"username": call.str("username"), "password": password, "crypted": call.flag("crypted")});
    ask(world, call, "guest-set-user-password", &arguments, Shape::Nothing)
}

pub(crate) fn file_read(world: &mut World, call: &Call<'_>) -> Outcome {
    let arguments = json!({"path": call.str("file"), "mode": "r"});
    ask(world, call, "guest-file-read", &arguments, Shape::File)
}

pub(crate) fn file_write(world: &mut World, call: &Call<'_>) -> Outcome {
    use base64::Engine as _;
    let content = call.str("content");
    let content = if call.get("encode") == Some("0") {
        content.to_owned()
    } else {
        base64::engine::general_purpose::STANDARD.encode(content)
    };
    let arguments = json!({"path": call.str("file"), "mode": "wb", "buf-b64": content});
    ask(world, call, "guest-file-write", &arguments, Shape::Nothing)
}

/// What a guest of paper answers.
fn paper(world: &World, guest: &Guest, command: &str, arguments: &Value) -> Value {
    let value = match command {
        "guest-ping" | "guest-shutdown" | "guest-file-write" | "guest-set-user-password" => json!({}),
        "guest-fsfreeze-status" => json!("thawed"),
        "guest-fsfreeze-freeze" | "guest-fsfreeze-thaw" => json!(1),
        "guest-fstrim" => json!({"paths": []}),
        "guest-get-memory-block-info" => json!({"size": 128 << 20}),
        "guest-info" => json!({"version": "10.0.13", "supported_commands": []}),
        "guest-get-osinfo" => json!({
            "id": "ubuntu", "name": "Ubuntu", "pretty-name": "Ubuntu 24.04 LTS", "version": "24.04 LTS (Noble Numbat)",
            "version-id": "24.04", "kernel-release": "6.8.0-generic", "kernel-version": "#1 SMP", "machine": "x86_64",
        }),
        "guest-get-host-name" => json!({"host-name": guest.name()}),
        "guest-network-get-interfaces" => interfaces(guest),
        "guest-get-fsinfo" | "guest-get-users" | "guest-get-memory-blocks" => json!([]),
        #[expect(clippy::cast_possible_truncation, reason = "nanoseconds since the epoch fit in 64 bits")]
        "guest-get-time" => json!((world.now * 1e9) as i64),
        "guest-get-timezone" => json!({"zone": "UTC", "offset": 0}),
        "guest-get-vcpus" => {
            (0..guest.cpus()).map(|n| json!({"logical-id": n, "online": true, "can-offline": n > 0})).collect()
        }
        "guest-exec" => json!({"pid": 1000}),
        "guest-exec-status" => json!({"exited": true, "exitcode": 0}),
        "guest-file-read" => {
            let path = arguments["path"].as_str().unwrap_or_default();
            let text = format!("failed to open file '{path}' (mode: 'r'): No such file or directory");
            return json!({"error": {"class": "GenericError", "desc": text}});
        }
        other => {
            let text = format!("The command {other} has not been found");
            return json!({"error": {"class": "CommandNotFound", "desc": text}});
        }
    };
    json!({"return": value})
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
        let mut row = json!({"name": format!("eth{number}"), "hardware-address": mac, "statistics": statistics});
        if !found.is_empty() {
            row["ip-addresses"] = json!(found);
        }
        rows.push(row);
    }
    Value::Array(rows)
}
