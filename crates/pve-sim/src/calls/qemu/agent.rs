//! Calls to the guest agent.
//!
//! With a program at the guest hook it answers, within five seconds; without, a paper guest does.

use serde_json::{Value, json};

use crate::calls::{AgentCall, Call, Done, Outcome, names, now};
use crate::hook::paper;
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::guest::{Guest, System};

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
    let after = match world.system_of(guest) {
        System::Paper => world.agent_after,
        System::Linux => Some(0.0),
        System::Empty => None,
    };
    let paper = || !world.hook.attached() && after.is_some_and(|s| world.now >= run.since + s);
    // What a program said of its guest counts while that program is there.
    let up = run.agent_up.map_or_else(paper, |up| up && world.hook.attached());
    guest.agent_enabled() && !run.paused && !run.asleep && up
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
        Ok(_) if !world.hook.attached() => {
            let answer = paper::answer(world, vmid, command, arguments);
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
        if !text.is_ascii() {
            // The daemon's process can't write such a text into its answer, and dies of it.
            return Err(Fail::bare(596, "Broken pipe"));
        }
        return Err(Fail::exact(500, format!("Agent error: {text}\n")));
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

/// The bytes of an answer; those that are no UTF-8 are taken for Latin-1, each byte a character.
fn decoded(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_else(|wrong| wrong.as_bytes().iter().copied().map(char::from).collect())
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
