//! A guest's network card as its configuration writes it: `virtio=BC:24:11:…,bridge=vmbr0,tag=7`.
//!
//! Writing a card without its address makes Proxmox invent a new one: carry the address over.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::invalid::serde_as_text;
use crate::lenient::Scalar;
use crate::{Invalid, MacAddr, PropertyString};

/// One network card of a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetDevice {
    /// What the guest sees: `virtio`, `e1000`, …
    pub model: String,
    /// Its hardware address; absent only in an order for a new card.
    pub mac: Option<MacAddr>,
    /// The bridge or virtual network it is plugged into; without one Proxmox gives user-mode NAT.
    pub bridge: Option<String>,
    /// The VLAN (`tag`), 1 to 4094.
    pub vlan: Option<u16>,
    /// The MTU; 1 means "as the bridge".
    pub mtu: Option<u32>,
    /// Packet queues.
    pub queues: Option<u32>,
    /// Whether Proxmox's firewall filters it.
    pub firewall: bool,
    /// Whether the cable is pulled.
    pub link_down: bool,
    /// VLANs let through, `1;5-9`.
    pub trunks: Option<String>,
    /// Limit in megabytes a second, a decimal as Proxmox prints it.
    pub rate: Option<String>,
    /// Every option we have no word for.
    pub other: BTreeMap<String, String>,
}

const WHAT: &str = "a network card";

impl NetDevice {
    /// A virtio card on a bridge, address to be given.
    pub fn virtio(bridge: impl Into<String>) -> Self {
        Self {
            model: "virtio".to_owned(),
            mac: None,
            bridge: Some(bridge.into()),
            vlan: None,
            mtu: None,
            queues: None,
            firewall: false,
            link_down: false,
            trunks: None,
            rate: None,
            other: BTreeMap::new(),
        }
    }
}

impl FromStr for NetDevice {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why| Invalid::new(WHAT, text, why);
        let (head, pairs) = text.parse::<PropertyString>()?.into_parts();
        let mut options: BTreeMap<String, String> = pairs.into_iter().collect();
        let mut mac = None;
        // `virtio=MAC`: the only key whose value is an address, save the explicit `macaddr`.
        let short = options
            .iter()
            .find(|(key, value)| *key != "macaddr" && value.parse::<MacAddr>().is_ok())
            .map(|(key, _)| key.clone());
        let model = head
            .or_else(|| options.remove("model"))
            .or_else(|| {
                let model = short?;
                mac = options.remove(&model)?.parse().ok();
                Some(model)
            })
            .ok_or_else(|| bad("it names no model"))?;
        if let Some(address) = options.remove("macaddr") {
            mac = Some(address.parse()?);
        }
        let mut number =
            |key: &str, why| options.remove(key).map(|v| v.parse::<u32>().map_err(|_| bad(why))).transpose();
        let vlan = match number("tag", "its tag is no VLAN number")? {
            None => None,
            Some(tag) => Some(
                u16::try_from(tag)
                    .ok()
                    .filter(|tag| (1..=4094).contains(tag))
                    .ok_or_else(|| bad("its tag is outside 1 to 4094"))?,
            ),
        };
        let mtu = number("mtu", "its mtu is no number")?;
        let queues = number("queues", "its queues are no number")?;
        let mut flag = |key: &str, why| match options.remove(key) {
            None => Ok(false),
            Some(value) => Scalar(value).as_bool().ok_or_else(|| bad(why)),
        };
        Ok(Self {
            model,
            mac,
            vlan,
            mtu,
            queues,
            firewall: flag("firewall", "its firewall is neither 0 nor 1")?,
            link_down: flag("link_down", "its link_down is neither 0 nor 1")?,
            bridge: options.remove("bridge"),
            trunks: options.remove("trunks"),
            rate: options.remove("rate"),
            other: options,
        })
    }
}

impl fmt::Display for NetDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, mac, bridge, vlan, mtu, queues, firewall, link_down, trunks, rate, other } = self;
        let mut all = other.clone();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                all.insert(key.to_owned(), value);
            }
        };
        put("bridge", bridge.clone());
        put("firewall", firewall.then(|| "1".to_owned()));
        put("link_down", link_down.then(|| "1".to_owned()));
        put("mtu", mtu.map(|n| n.to_string()));
        put("queues", queues.map(|n| n.to_string()));
        put("rate", rate.clone());
        put("tag", vlan.map(|n| n.to_string()));
        put("trunks", trunks.clone());
        f.write_str(model)?;
        if let Some(mac) = mac {
            write!(f, "={mac}")?;
        }
        all.iter().try_for_each(|(k, v)| write!(f, ",{k}={v}"))
    }
}

serde_as_text!(NetDevice);
