//! Calls of every method, with parameters that are nearly right, and some that are not.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::dice::Dice;
use super::{assert_no_panic, end, seed, watch};
use crate::client::{World, percent, read};

/// Values that are right for something.
const VALUES: [&str; 40] = [
    "1",
    "0",
    "9000",
    "101",
    "102",
    "4294967296",
    "-1",
    "",
    "pve1",
    "pve2",
    "localhost",
    "shared",
    "local",
    "root@pam",
    "capi@pve",
    "capi@pve!oxmox",
    "kubernetes",
    "scsi0",
    "scsi1",
    "shared:1",
    "shared:4,format=qcow2",
    "net0",
    "virtio,bridge=vmbr0",
    "none,media=cdrom",
    "shared:9000/base-9000-disk-0.qcow2",
    "local:iso/a.iso",
    "vm:9000",
    "a;b,c",
    "10.0.0.1",
    "10.0.0.0/24",
    "fd00::/64",
    "http://a/b.iso",
    "*/5",
    "mon..fri 12:00",
    "order=scsi0;net0",
    "+1G",
    "UPID:pve1:00000001:00000001:00000001:qmstart:100:root@pam:",
    "snap",
    "current",
    "UTC",
];

/// Values that are right for nothing.
const RUBBISH: [&str; 18] = [
    "\0",
    "é",
    "\u{1f980}",
    "=",
    ",",
    ",,=,",
    ":",
    "a:b:c",
    "1e400",
    "NaN",
    "0x10",
    "99999999999999999999999",
    "..",
    "a/../b",
    "\n",
    "%",
    "é,é=é",
    "-9223372036854775808",
];

/// A line of the tables: a verb, a path, and the names of the parameters.
struct Method {
    verb: String,
    path: String,
    params: Vec<(String, Vec<String>)>,
}

fn methods() -> Vec<Method> {
    let mut out: Vec<Method> = Vec::new();
    let tables = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/methods")).unwrap();
    let mut tables: Vec<_> = tables.map(|t| t.unwrap().path()).collect();
    tables.sort();
    for table in tables {
        for line in std::fs::read_to_string(table).unwrap().lines() {
            let mut words = line.split_whitespace();
            let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
            if let Some(method) = out.last_mut().filter(|_| line.starts_with('\t') && first != "needs") {
                let choices = words
                    .find_map(|w| w.strip_prefix("enum="))
                    .map_or_else(Vec::new, |list| list.split(',').map(str::to_owned).collect());
                method.params.push((first.trim_end_matches('?').to_owned(), choices));
            } else if ["GET", "POST", "PUT", "DELETE"].contains(&first) {
                out.push(Method { verb: first.to_owned(), path: second.to_owned(), params: Vec::new() });
            }
        }
    }
    out
}

fn value(dice: &mut Dice, name: &str, choices: &[String]) -> String {
    if !choices.is_empty() && !dice.one_in(4) {
        return dice.pick(choices).clone();
    }
    match name {
        "node" if !dice.one_in(8) => return "pve1".to_owned(),
        "vmid" if !dice.one_in(8) => return (*dice.pick(&["9000", "101", "102"])).to_owned(),
        "storage" if !dice.one_in(4) => return (*dice.pick(&["shared", "local"])).to_owned(),
        _ => {}
    }
    let mut text = (*if dice.one_in(4) { dice.pick(&RUBBISH) } else { dice.pick(&VALUES) }).to_owned();
    if dice.one_in(12) {
        let more = *dice.pick(&RUBBISH);
        text.push_str(more);
    }
    if dice.one_in(200) {
        text = text.repeat(3000);
    }
    text
}

/// A call as bytes, without its header lines for whoever calls.
fn call(dice: &mut Dice, method: &Method, who: &str) -> Vec<u8> {
    let words = method.path.split('/').map(|word| match word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
        Some(name) => {
            let choices = method.params.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, c)| c.as_slice());
            percent(&value(dice, name, choices))
        }
        None => word.to_owned(),
    });
    let path = words.collect::<Vec<_>>().join("/");
    let share = 1 + dice.below(6);
    let mut form = Vec::new();
    for (name, choices) in &method.params {
        if !method.path.contains(&format!("{{{name}}}")) && dice.one_in(share) {
            // Indexed ones stand as `net[n]` or with their first number.
            let name = name.replace("[n]", "1");
            form.push(format!("{}={}", percent(&name), percent(&value(dice, &name, choices))));
        }
    }
    let form = form.join("&");
    let format = dice.pick(&["json", "json", "json", "extjs"]);
    let query = method.verb == "GET" || method.verb == "DELETE";
    let (target, body) = if query && !form.is_empty() { (format!("{path}?{form}"), "") } else { (path, form.as_str()) };
    let body = if query { "" } else { body };
    let length = body.len();
    let kind = "Content-Type: application/x-www-form-urlencoded";
    format!(
        "{} /api2/{format}{target} HTTP/1.1\r\nHost: x\r\n{who}{kind}\r\nContent-Length: {length}\r\n\r\n{body}",
        method.verb
    )
    .into_bytes()
}

#[tokio::test]
async fn calls_of_every_method_with_any_parameters_are_answered() {
    watch();
    let methods = methods();
    assert!(methods.len() > 600);
    let mut dice = Dice::new(seed());
    let (end, mut sent, mut good) = (end(), 0usize, 0u32);
    while Instant::now() < end {
        let world = World::start(pve_sim::Options { speed: 2000.0, ..pve_sim::Options::default() }).await;
        let who = world.root().await;
        let mut stream = world.connect().await;
        // In the sample each method once.
        for _ in 0..3000 {
            if Instant::now() >= end {
                break;
            }
            let method = &methods[if sent < methods.len() { sent } else { dice.below(methods.len()) }];
            let bytes = call(&mut dice, method, &who);
            sent += 1;
            let text = || String::from_utf8_lossy(&bytes).chars().take(600).collect::<String>();
            // What is too long is not read to its end.
            let long = bytes.len() > 8000;
            let sent_whole = stream.write_all(&bytes).await.is_ok();
            assert!(sent_whole || long, "not taken: {}", text());
            let answer = tokio::time::timeout(Duration::from_secs(20), read(&mut stream)).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer: {}", text()));
            assert_no_panic(&text());
            let Some(answer) = answer else {
                assert!(long, "hung up on: {}", text());
                stream = world.connect().await;
                continue;
            };
            good += u32::from(answer.status == 200);
            if answer.headers.get("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                stream = world.connect().await;
            }
        }
    }
    eprintln!("{sent} calls, {good} of them done");
    assert!(sent > 50);
}
