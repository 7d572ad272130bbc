//! The guest agent: QGA's calls, answered by looking into the guest.
//!
//! Promises: every answer is read in the guest's own namespaces at the time of the call, in QGA's own shape; an unknown
//! command is refused in QGA's words. Assumes the pid of the guest's PID 1.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// One guest's agent.
#[derive(Clone, Debug)]
pub struct Agent {
    pid: i32,
    ran: Arc<Mutex<BTreeMap<u64, Option<Output>>>>,
}

/// QGA's error.
struct Refusal {
    class: &'static str,
    desc: String,
}

fn generic(desc: impl Into<String>) -> Refusal {
    Refusal { class: "GenericError", desc: desc.into() }
}

const COMMANDS: [&str; 10] = [
    "guest-ping",
    "guest-sync",
    "guest-info",
    "guest-get-osinfo",
    "guest-get-host-name",
    "guest-network-get-interfaces",
    "guest-exec",
    "guest-exec-status",
    "guest-get-time",
    "guest-shutdown",
];

impl Agent {
    /// The agent of the guest with this PID 1.
    pub fn new(pid: i32) -> Self {
        Self { pid, ran: Arc::default() }
    }

    /// The answer, `{"return": …}` or `{"error": …}`.
    pub async fn answer(&self, command: &str, arguments: &Value) -> Value {
        match self.call(command, arguments).await {
            Ok(value) => json!({"return": value}),
            Err(Refusal { class, desc }) => json!({"error": {"class": class, "desc": desc}}),
        }
    }

    async fn call(&self, command: &str, arguments: &Value) -> Result<Value, Refusal> {
        match command {
            "guest-ping" => Ok(json!({})),
            "guest-sync" => Ok(arguments["id"].clone()),
            "guest-info" => Ok(json!({
                "version": "7.2.17",
                "supported_commands": COMMANDS.map(|name| json!({"name": name, "enabled": true, "success-response": true})),
            })),
            "guest-get-host-name" => Ok(json!({"host-name": self.text(&["hostname"]).await?.trim()})),
            "guest-get-time" => {
                let seconds: i64 = self.text(&["date", "+%s"]).await?.trim().parse().map_err(|_| generic("date"))?;
                Ok(json!(seconds * 1_000_000_000))
            }
            "guest-get-osinfo" => self.os().await,
            "guest-network-get-interfaces" => self.interfaces().await,
            "guest-exec" => self.exec(arguments),
            "guest-exec-status" => self.exec_status(arguments),
            "guest-shutdown" => {
                self.text(&["systemctl", "poweroff"]).await?;
                Ok(json!({}))
            }
            other => Err(Refusal { class: "CommandNotFound", desc: format!("The command {other} has not been found") }),
        }
    }

    /// The words that run a command in the guest's namespaces, with a guest's environment.
    pub fn enter(&self) -> Vec<String> {
        let pid = self.pid.to_string();
        ["nsenter", "--target", &pid, "--net", "--mount", "--cgroup", "--uts", "--ipc", "--pid", "--"]
            .into_iter()
            .chain(["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"])
            .map(str::to_owned)
            .collect()
    }

    /// A command in there.
    pub fn inside(&self, words: &[&str]) -> Command {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).args(words).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn text(&self, words: &[&str]) -> Result<String, Refusal> {
        let output = self.inside(words).output().await.map_err(|err| generic(err.to_string()))?;
        if !output.status.success() {
            return Err(generic(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn os(&self) -> Result<Value, Refusal> {
        let release = self.text(&["cat", "/etc/os-release"]).await?;
        let kernel = self.text(&["uname", "-rm"]).await?;
        let version = self.text(&["uname", "-v"]).await?;
        let mut kernel = kernel.split_whitespace();
        let field = |key: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        Ok(json!({
            "id": field("ID"), "name": field("NAME"), "pretty-name": field("PRETTY_NAME"),
            "version": field("VERSION"), "version-id": field("VERSION_ID"),
            "kernel-release": kernel.next(), "machine": kernel.next(), "kernel-version": version.trim(),
        }))
    }

    async fn interfaces(&self) -> Result<Value, Refusal> {
        let said = self.text(&["ip", "-j", "-s", "address", "show"]).await?;
        let links: Value = serde_json::from_str(&said).map_err(|err| generic(err.to_string()))?;
        Ok(interfaces(&links))
    }

    fn exec(&self, arguments: &Value) -> Result<Value, Refusal> {
        let path = arguments["path"].as_str().ok_or_else(|| generic("Parameter 'path' is missing"))?;
        let mut words = vec![path];
        words.extend(arguments["arg"].as_array().into_iter().flatten().filter_map(Value::as_str));
        let capture = match &arguments["capture-output"] {
            Value::Bool(capture) => *capture,
            Value::String(word) => word != "none",
            _ => false,
        };
        let input = match arguments["input-data"].as_str() {
            Some(text) => Some(base64::decode(text).ok_or_else(|| generic("input-data is not base64"))?),
            None => None,
        };
        let mut command = self.inside(&words);
        if capture {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|err| generic(err.to_string()))?;
        let pid = u64::from(child.id().unwrap_or_default());
        self.lock().insert(pid, None);
        let ran = self.clone();
        tokio::spawn(async move {
            if let (Some(mut to), Some(input)) = (child.stdin.take(), input) {
                // A program that does not read its input ends all the same.
                let _ = to.write_all(&input).await;
            }
            if let Ok(output) = child.wait_with_output().await {
                ran.lock().insert(pid, Some(output));
            }
        });
        Ok(json!({"pid": pid}))
    }

    fn exec_status(&self, arguments: &Value) -> Result<Value, Refusal> {
        let pid = arguments["pid"].as_u64().ok_or_else(|| generic("Parameter 'pid' is missing"))?;
        let mut ran = self.lock();
        match ran.get(&pid) {
            None => Err(generic(format!("PID {pid} does not exist"))),
            Some(None) => Ok(json!({"exited": false})),
            // QGA, too, tells a result once.
            Some(Some(_)) => Ok(ran.remove(&pid).flatten().map(|output| exit(&output)).unwrap_or_default()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Option<Output>>> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exit(output: &Output) -> Value {
    use std::os::unix::process::ExitStatusExt;
    let mut value = json!({"exited": true});
    if let Some(code) = output.status.code() {
        value["exitcode"] = json!(code);
    }
    if let Some(signal) = output.status.signal() {
        value["signal"] = json!(signal);
    }
    for (key, bytes) in [("out-data", &output.stdout), ("err-data", &output.stderr)] {
        if !bytes.is_empty() {
            value[key] = json!(base64::encode(bytes));
        }
    }
    value
}

/// From `ip -j -s address` to QGA's shape.
fn interfaces(links: &Value) -> Value {
    let links = links.as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |link: &Value| {
        let addresses: Vec<Value> = link["addr_info"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|address| {
                json!({
                    "ip-address": address["local"],
                    "ip-address-type": if address["family"] == "inet6" { "ipv6" } else { "ipv4" },
                    "prefix": address["prefixlen"],
                })
            })
            .collect();
        let mut value = json!({"name": link["ifname"]});
        if let Some(mac) = link["address"].as_str() {
            value["hardware-address"] = json!(mac);
        }
        if !addresses.is_empty() {
            value["ip-addresses"] = json!(addresses);
        }
        let (rx, tx) = (&link["stats64"]["rx"], &link["stats64"]["tx"]);
        if rx.is_object() {
            value["statistics"] = json!({
                "rx-bytes": rx["bytes"], "rx-packets": rx["packets"], "rx-errs": rx["errors"], "rx-dropped": rx["dropped"],
                "tx-bytes": tx["bytes"], "tx-packets": tx["packets"], "tx-errs": tx["errors"], "tx-dropped": tx["dropped"],
            });
        }
        value
    };
    Value::Array(links.iter().map(one).collect())
}

/// QGA speaks standard base64.
mod base64 {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    pub(super) fn encode(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        STANDARD.decode(text).ok()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn addresses_come_in_qgas_shape() {
        let links = json!([
            {"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
            {"ifname": "ens18", "address": "bc:24:11:00:00:01",
             "addr_info": [{"family": "inet6", "local": "fe80::1", "prefixlen": 64}],
             "stats64": {"rx": {"bytes": 5, "packets": 1, "errors": 0, "dropped": 0},
                         "tx": {"bytes": 6, "packets": 2, "errors": 0, "dropped": 0}}},
        ]);
        let seen = interfaces(&links);
        assert_eq!(
            seen[0]["ip-addresses"][0],
            json!({"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8})
        );
        assert_eq!(seen[1]["hardware-address"], "bc:24:11:00:00:01");
        assert_eq!(seen[1]["ip-addresses"][0]["ip-address-type"], "ipv6");
        assert_eq!(seen[1]["statistics"]["tx-bytes"], 6);
    }

    #[tokio::test]
    async fn an_unknown_command_is_refused_in_qgas_words() {
        let answer = Agent::new(1).answer("guest-fsfreeze-freeze", &Value::Null).await;
        assert_eq!(answer["error"]["class"], "CommandNotFound");
        assert_eq!(answer["error"]["desc"], "The command guest-fsfreeze-freeze has not been found");
    }

    #[tokio::test]
    async fn a_result_that_was_never_started_does_not_exist() {
        let answer = Agent::new(1).answer("guest-exec-status", &json!({"pid": 7})).await;
        assert_eq!(answer["error"]["desc"], "PID 7 does not exist");
    }
}
