//! What a release of Proxmox VE has and what it lacks: methods, parameters, privileges, built-in roles.
//!
//! The tables are of 9.2. Here stands in which respect an older release differs, as functions of the world's release.

use crate::perm::{ALL_PRIVILEGES, Role};
use crate::schema::Method;
use crate::state::World;

/// Methods by the start of their path and the first release that has them.
const SINCE: [(&str, (u32, u32)); 16] = [
    ("/cluster/ha/rules", (9, 0)),
    ("/cluster/ha/status/arm-ha", (9, 2)),
    ("/cluster/ha/status/disarm-ha", (9, 2)),
    ("/cluster/bulk-action", (9, 1)),
    ("/cluster/qemu", (9, 2)),
    ("/cluster/sdn/fabrics", (9, 0)),
    ("/cluster/sdn/lock", (9, 0)),
    ("/cluster/sdn/rollback", (9, 0)),
    ("/cluster/sdn/prefix-lists", (9, 2)),
    ("/cluster/sdn/route-maps", (9, 2)),
    ("/nodes/{node}/sdn/fabrics", (9, 0)),
    ("/nodes/{node}/sdn/vnets", (9, 1)),
    ("/nodes/{node}/query-oci-repo-tags", (9, 1)),
    ("/nodes/{node}/storage/{storage}/oci-registry-pull", (9, 1)),
    ("/nodes/{node}/capabilities/qemu/migration", (9, 0)),
    ("/nodes/{node}/qemu/{vmid}/dbus-vmstate", (9, 0)),
];

/// Parameters by the start of the path, their name, and the first release that has them.
const PARAMETERS: [(&str, &str, (u32, u32)); 9] = [
    ("/cluster/ha/resources", "failback", (9, 0)),
    ("/cluster/ha/resources", "purge", (9, 0)),
    ("/cluster/sdn", "lock-token", (9, 0)),
    ("/nodes/{node}/qemu", "ha-managed", (9, 1)),
    ("/nodes/{node}/qemu", "allow-ksm", (9, 1)),
    ("/nodes/{node}/lxc", "ha-managed", (9, 1)),
    ("/nodes/{node}/lxc", "entrypoint", (9, 1)),
    ("/nodes/{node}/lxc", "env", (9, 1)),
    ("/cluster/metrics/server", "otel-protocol", (9, 0)),
];

/// The privilege for guest agents before 9.
const MONITOR: &str = "VM.Monitor";

/// Whether a privilege came with 9.
fn is_new(privilege: &str) -> bool {
    privilege.starts_with("VM.GuestAgent.") || privilege == "VM.Replicate"
}

impl World {
    /// Whether the release has this method.
    pub(crate) fn offers(&self, method: &Method) -> bool {
        let under =
            |start: &str| method.path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        SINCE.iter().filter(|(start, _)| under(start)).all(|(_, (major, minor))| self.at_least(*major, *minor))
    }

    /// Whether the release knows this parameter of a method.
    pub(crate) fn offers_parameter(&self, method: &Method, name: &str) -> bool {
        let of = PARAMETERS.iter().filter(|(start, key, _)| *key == name && method.path.starts_with(start));
        of.map(|(_, _, since)| since).all(|(major, minor)| self.at_least(*major, *minor))
    }

    /// Whether the release has this privilege.
    pub(crate) fn has_privilege(&self, name: &str) -> bool {
        if self.at_least(9, 0) {
            return ALL_PRIVILEGES.contains(&name);
        }
        name == MONITOR || (ALL_PRIVILEGES.contains(&name) && !is_new(name))
    }

    /// The privileges that a call needs, in the words of the release.
    pub(crate) fn wanted<'a>(&self, privileges: Vec<&'a str>) -> Vec<&'a str> {
        if self.at_least(9, 0) || !privileges.iter().any(|p| is_new(p)) {
            return privileges;
        }
        if privileges.iter().any(|p| p.starts_with("VM.GuestAgent.")) {
            vec![MONITOR]
        } else {
            vec!["Datastore.Allocate"]
        }
    }

    /// Roles as the release has them: before 9 one privilege stood for all that concerns agents.
    pub(crate) fn fit_roles(&mut self) {
        if self.at_least(9, 0) {
            return;
        }
        for (name, role) in &mut self.access.roles {
            let Role { privs, special } = role;
            let monitors = privs.contains("VM.GuestAgent.Unrestricted");
            privs.retain(|p| !is_new(p));
            if monitors && (!*special || ["Administrator", "PVEAdmin", "PVEVMAdmin"].contains(&name.as_str())) {
                privs.insert(MONITOR.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod test {
    use crate::options::Options;
    use crate::schema::Schema;
    use crate::state::default_world;

    fn world(pve: &str) -> crate::state::World {
        default_world::build(&Options { pve: pve.to_owned(), ..Options::default() }, 1.0e9, "AA")
    }

    #[test]
    fn a_release_has_the_methods_of_its_time() {
        let schema = Schema::get();
        let offers = |pve: &str, verb: &str, path: &[&str]| {
            schema.find(verb, path).is_some_and(|found| world(pve).offers(found.method))
        };
        assert!(offers("9.2", "GET", &["cluster", "ha", "rules"]));
        assert!(!offers("8.4", "GET", &["cluster", "ha", "rules"]));
        assert!(!offers("8.4", "GET", &["cluster", "ha", "rules", "one"]));
        assert!(offers("9.1", "GET", &["cluster", "bulk-action"]));
        assert!(!offers("9.1", "POST", &["cluster", "ha", "status", "arm-ha"]));
        assert!(offers("8.4", "GET", &["cluster", "ha", "groups"]));
    }

    #[test]
    fn before_9_agents_are_a_matter_of_one_privilege() {
        let old = world("8.4");
        assert!(old.has_privilege("VM.Monitor") && !old.has_privilege("VM.GuestAgent.Audit"));
        assert!(old.access.roles["PVEVMAdmin"].privs.contains("VM.Monitor"));
        assert!(!old.access.roles["PVEVMUser"].privs.contains("VM.Monitor"));
        assert_eq!(old.wanted(vec!["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"]), ["VM.Monitor"]);
        let new = world("9.2");
        assert!(!new.has_privilege("VM.Monitor") && new.has_privilege("VM.Replicate"));
        assert!(!new.access.roles["Administrator"].privs.contains("VM.Monitor"));
    }
}
