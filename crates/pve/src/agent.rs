//! Calls to the agent inside a guest. When it is absent each costs Proxmox three seconds: do not loop.

use std::net::IpAddr;

use pve_types::{MacAddr, NodeName, Vmid, lenient};
use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::client::Client;
use crate::error::{Error, Refused};
use crate::refusal::Refusal;

/// A network interface as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentInterface {
    /// `eth0`, `lo`, …
    pub name: String,
    /// Its hardware address, if it has one that reads.
    #[serde(rename = "hardware-address", default, deserialize_with = "mac")]
    pub mac: Option<MacAddr>,
    /// Its addresses.
    #[serde(rename = "ip-addresses", default)]
    pub addresses: Vec<AgentAddress>,
}

/// An address of a guest's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct AgentAddress {
    /// The address.
    #[serde(rename = "ip-address", deserialize_with = "ip")]
    pub address: IpAddr,
    /// The length of its prefix.
    #[serde(default, deserialize_with = "lenient::number")]
    pub prefix: u8,
}

/// What became of a command in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ExecStatus {
    /// Whether it has ended.
    #[serde(deserialize_with = "lenient::flag")]
    pub exited: bool,
    /// Its exit code.
    #[serde(rename = "exitcode", default, deserialize_with = "lenient::opt_number")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub signal: Option<i32>,
    /// What it said.
    #[serde(rename = "out-data", default)]
    pub out: String,
    /// What it complained of.
    #[serde(rename = "err-data", default)]
    pub err: String,
}

fn mac<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<MacAddr>, D::Error> {
    Ok(lenient::opt_text(from)?.and_then(|text| text.parse().ok()))
}

fn ip<'de, D: serde::Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    let text = lenient::text(from)?;
    // Link-local addresses may carry their zone.
    let bare = text.split('%').next().unwrap_or("");
    bare.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not an address")))
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct Started {
    #[serde(deserialize_with = "lenient::number")]
    pid: u64,
}

impl Client {
    /// Whether the agent answers; `AgentUnavailable` when not.
    pub async fn agent_ping(&self, node: &NodeName, vmid: Vmid) -> Result<(), Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let call = Call::post("/nodes/{node}/qemu/{vmid}/agent/ping", &values)?;
        self.agent_result(call).await.map(|_| ())
    }

    /// The guest's interfaces with their addresses.
    pub async fn agent_interfaces(&self, node: &NodeName, vmid: Vmid) -> Result<Vec<AgentInterface>, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let call = Call::get("/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", &values)?;
        let words = call.to_string();
        let result = self.agent_result(call).await?;
        serde_json::from_value(result).map_err(|e| Error::garbled(words, e.to_string()))
    }

    /// Starts a command in the guest; the number asks for its outcome.
    pub async fn agent_exec(
        &self,
        node: &NodeName,
        vmid: Vmid,
        command: &[&str],
        input: Option<&str>,
    ) -> Result<u64, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let mut call = Call::post("/nodes/{node}/qemu/{vmid}/agent/exec", &values)?;
        for word in command {
            call = call.with("command", word)?;
        }
        let started: Started = self.fetch(call.maybe("input-data", input)?).await?;
        Ok(started.pid)
    }

    /// What became of a command.
    pub async fn agent_exec_status(&self, node: &NodeName, vmid: Vmid, pid: u64) -> Result<ExecStatus, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let call = Call::get("/nodes/{node}/qemu/{vmid}/agent/exec-status", &values)?;
        self.fetch(call.with("pid", pid)?).await
    }

    /// The agent's result; some of its failures come with status 200.
    async fn agent_result(&self, call: Call) -> Result<Value, Error> {
        let words = call.to_string();
        let Wrapped { result } = self.fetch(call).await?;
        match result.get("error") {
            None => Ok(result),
            Some(error) => Err(Error::Refused(Box::new(Refused {
                call: words,
                status: 200,
                message: error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("the guest agent reports an error")
                    .to_owned(),
                params: std::collections::BTreeMap::new(),
                kind: Refusal::AgentUnavailable,
            }))),
        }
    }
}
