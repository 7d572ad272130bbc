//! The words of `pve-sim`'s guest hook: what a VM is, and what happens to it.
//!
//! Promises: fields that we do not use may come and go; an event we do not know is an error that names it. Assumes
//! `docs/reference/guest-hook.md`, and nothing else of the simulator.

use serde::{Deserialize, Serialize};

/// One power-on of one VM.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Guest {
    /// The VM's number.
    pub vmid: u32,
    /// Names this power-on; answers carry it.
    pub run: String,
    /// The Proxmox node it runs on.
    #[serde(default)]
    pub node: String,
    /// The VM's name.
    #[serde(default)]
    pub name: String,
    /// The SMBIOS UUID; empty where the VM has none.
    #[serde(default, deserialize_with = "text_or_null")]
    pub uuid: String,
    /// Virtual processors.
    #[serde(default)]
    pub cores: u32,
    /// MiB.
    #[serde(default)]
    pub memory: u64,
    /// Whether the VM has a guest agent's channel.
    #[serde(default)]
    pub agent: bool,
    /// Network cards.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// Disks and CD drives.
    #[serde(default)]
    pub drives: Vec<Drive>,
}

/// A network card of a VM.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Nic {
    /// `net0` and so on.
    pub key: String,
    /// Its MAC address.
    pub mac: String,
    /// The bridge it hangs on, if any.
    #[serde(default)]
    pub bridge: Option<String>,
    /// VLAN.
    #[serde(default)]
    pub tag: Option<u16>,
    /// Its MTU where one is set.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Whether its cable is unplugged.
    #[serde(default)]
    pub link_down: bool,
}

/// A drive of a VM.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Drive {
    /// `scsi0`, `ide0` and so on.
    pub key: String,
    /// `disk` or `cdrom`.
    pub media: String,
    /// The volume.
    #[serde(default)]
    pub volid: String,
    /// Bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// The file that is its volume, raw and on this machine; none where the simulator keeps volumes in memory.
    #[serde(default)]
    pub file: Option<std::path::PathBuf>,
    /// World wide name, `0x` and 16 hexadecimal digits.
    #[serde(default)]
    pub wwn: Option<String>,
    /// Serial number.
    #[serde(default)]
    pub serial: Option<String>,
}

/// What the hook tells.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first line: what runs already.
    Attached {
        /// VMs that are on.
        running: Vec<Guest>,
    },
    /// A VM was started.
    PowerOn {
        /// The VM.
        guest: Guest,
    },
    /// End at once.
    PowerOff {
        /// The VM's number.
        vmid: u32,
        /// The power-on it means.
        run: String,
    },
    /// End orderly.
    Shutdown {
        /// The VM's number.
        vmid: u32,
        /// The power-on it means.
        run: String,
    },
    /// A call of the guest agent.
    AgentCall {
        /// The VM's number.
        vmid: u32,
        /// The power-on it means.
        run: String,
        /// Names the call; its answer carries it.
        #[serde(deserialize_with = "text_or_number")]
        call: String,
        /// QGA's command.
        command: String,
        /// QGA's arguments.
        #[serde(default)]
        arguments: serde_json::Value,
    },
    /// A drive is there, or its medium or size is another.
    DrivePlugged {
        /// The VM's number.
        vmid: u32,
        /// The power-on it means.
        run: String,
        /// The drive.
        drive: Drive,
    },
    /// A drive is there no longer.
    DriveUnplugged {
        /// The VM's number.
        vmid: u32,
        /// The power-on it means.
        run: String,
        /// The slot that is empty now.
        key: String,
    },
    /// A drive stays that the guest had said it keeps.
    UnplugRefused {
        /// The VM's number.
        vmid: u32,
    },
    /// The VM is gone for good.
    Destroyed {
        /// The VM's number.
        vmid: u32,
    },
}

fn text_or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    Ok(match Either::deserialize(from)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_documented_guest_is_understood() {
        let line = r#"{"event":"power-on","guest":{"vmid":101,"run":"101-3","node":"pve1","name":"w-0","uuid":"u","cores":2,
            "memory":2048,"agent":true,"nics":[{"key":"net0","model":"virtio","mac":"BC:24:11:00:00:01","bridge":"vmbr0",
            "tag":null,"mtu":null,"link_down":false}],"drives":[{"key":"ide0","volid":"shared:iso/user-data-101.iso",
            "media":"cdrom","size":374784}]}}"#;
        let Event::PowerOn { guest } = serde_json::from_str(line).unwrap() else { panic!("not power-on") };
        assert_eq!((guest.vmid, guest.run.as_str(), guest.nics[0].bridge.as_deref()), (101, "101-3", Some("vmbr0")));
        assert_eq!(guest.drives[0].media, "cdrom");
    }

    #[test]
    fn a_guest_without_uuid_or_bridge_is_a_guest() {
        let guest = r#"{"vmid":1,"run":"1-1","uuid":null,"nics":[{"key":"net0","mac":"m","bridge":null}]}"#;
        let guest: Guest = serde_json::from_str(guest).unwrap();
        assert_eq!((guest.uuid.as_str(), guest.nics[0].bridge.as_deref()), ("", None));
    }

    #[test]
    fn a_call_may_be_named_by_text_or_by_number() {
        for call in ["7", "\"7\""] {
            let line = format!(r#"{{"event":"agent-call","vmid":1,"run":"1-1","call":{call},"command":"guest-ping"}}"#);
            let Event::AgentCall { call, .. } = serde_json::from_str(&line).unwrap() else { panic!("not a call") };
            assert_eq!(call, "7");
        }
    }
}
