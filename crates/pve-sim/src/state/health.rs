//! The health of the cluster: which node answers, whether there is a majority, which release it is.

use super::World;
use crate::http::fail::Fail;
use crate::schema::Method;

/// What a cluster without quorum does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writable {
    Yes,
    /// The task that it starts fails with this text.
    FailsLater(&'static str),
}

/// What Proxmox VE says where it looks for the quorum before it writes.
const NOT_READY: &str = "cluster not ready - no quorum?";

impl World {
    /// The node that answers: the first that is up.
    pub(crate) fn local_node(&self) -> String {
        let up = self.nodes.iter().find(|n| n.online).or_else(|| self.nodes.first());
        up.map_or_else(String::new, |n| n.name.clone())
    }

    /// Whether the configuration may be written.
    pub(crate) fn quorate(&self) -> bool {
        let online = self.nodes.iter().filter(|n| n.online).count();
        !self.cluster.no_quorum && (self.nodes.len() < 2 || online * 2 > self.nodes.len())
    }

    /// Whether the release is at least this one.
    pub(crate) fn at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }

    /// Without a majority nothing is written; what only runs or reads goes on.
    pub(crate) fn writable(&self, method: &Method) -> Result<Writable, Fail> {
        if method.verb == "GET" || self.quorate() {
            return Ok(Writable::Yes);
        }
        let path = method.path.as_str();
        let last = path.rsplit('/').next().unwrap_or_default();
        let in_guest = path.contains("/qemu/{vmid}/") || path.contains("/lxc/{vmid}/");
        if path.contains("/status/") && in_guest {
            return Ok(if last == "start" { Writable::FailsLater(NOT_READY) } else { Writable::Yes });
        }
        let runs = path.contains("/agent") || path.ends_with("proxy") || path.ends_with("/tasks/{upid}");
        let local =
            ["ticket", "status", "execute", "wakeonlan", "upload", "download-url", "sendkey", "monitor", "services"];
        if runs || local.contains(&last) || path.contains("/services/") || path.contains("/storage/{storage}/content") {
            return Ok(Writable::Yes);
        }
        let text = match path {
            _ if path.starts_with("/access") || path.starts_with("/pools") => {
                "cfs-lock 'file-user_cfg' error: no quorum!".to_owned()
            }
            _ if path.starts_with("/storage") => "cfs-lock 'file-storage_cfg' error: no quorum!".to_owned(),
            "/cluster/options" => "cfs-lock 'file-datacenter_cfg' error: no quorum!".to_owned(),
            _ => NOT_READY.to_owned(),
        };
        Err(Fail::die(text))
    }

    /// Maintenance of a node, `on` or `off`; false if there is no such node or word.
    pub(crate) fn maintain(&mut self, node: &str, word: &str) -> bool {
        let Some(found) = self.node_mut(node).filter(|_| word == "on" || word == "off") else { return false };
        found.maintenance = word == "on";
        crate::ha::hurry(self);
        true
    }

    /// Gives the majority back (`on`) or takes it away (`off`); false for any other word.
    pub(crate) fn set_quorum(&mut self, word: &str) -> bool {
        self.cluster.no_quorum = word == "off";
        word == "on" || word == "off"
    }
}
