//! Step 1: what the provider needs to be allowed, path by path.

use std::collections::{BTreeMap, BTreeSet};

use ::api::ProxmoxMachineSpec;

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of, scope};
use crate::evidence::Evidence;
use crate::step::StepId;

pub(super) const PRIVILEGES: CheckInfo = CheckInfo {
    id: "api.privileges",
    step: StepId::Api,
    title: "We may do what the provider has to do",
    looks_at: "Our effective privileges on the paths that the cluster's machines touch: their pool or /vms, their \
               template, the storages of their disks and of bootstrap images, their bridges. Without a cluster: \
               /vms, or the pool where more of them are held.",
    matters: "A missing privilege shows when the one call that needs it is made: perhaps only at deletion.",
    fix: "Give the named privilege on the named path to the token and, where the token has separate privileges, to its \
          user, too: `pveum acl modify PATH --tokens 'USER!TOKEN' --roles ROLE`.",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: privileges,
};

type Held = BTreeMap<String, BTreeMap<String, bool>>;

/// One of `privileges` on one of `paths`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    paths: Vec<String>,
    privileges: &'static [&'static str],
    what_for: &'static str,
}

/// Privileges on a machine's VM, and what for.
const ON_MACHINES: [(&[&str], &str); 9] = [
    (&["VM.Allocate"], "make and destroy VMs"),
    (&["VM.Audit"], "see VMs"),
    (&["VM.PowerMgmt"], "start and stop VMs"),
    (&["VM.Config.CPU"], "set cores"),
    (&["VM.Config.Memory"], "set memory"),
    (&["VM.Config.Disk"], "grow disks"),
    (&["VM.Config.Network"], "plug NICs in"),
    (&["VM.Config.Options"], "write the mark and tags"),
    (&["VM.Config.CDROM"], "attach bootstrap images"),
];

fn privileges(evidence: &Evidence) -> Verdict {
    let held = match need("our privileges", &evidence.proxmox.permissions) {
        Ok(held) => held,
        Err(verdict) => return verdict,
    };
    let mut wanted = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    let mut notes = Vec::new();
    match scope::specs(evidence) {
        Ok(specs) => specs.iter().for_each(|(_, spec)| for_spec(evidence, spec, &mut wanted, &mut unknown)),
        Err(verdict) => {
            let place = likely_place(held);
            notes.push(format!("only {} was looked at: {}", shown(&place), verdict.message));
            on_machines(&[place], &mut wanted);
        }
    }
    let mut tally = Tally::default();
    for Need { paths, privileges, what_for } in &wanted {
        let has = paths.iter().any(|path| privileges.iter().any(|privilege| holds(held, path, privilege)));
        let line = format!(
            "{} on {}",
            privileges.join(" or "),
            paths.iter().map(|p| shown(p)).collect::<Vec<_>>().join(" or ")
        );
        if has {
            tally.fine(line);
        } else {
            tally.error(format!("missing: {line} (to {what_for})"));
        }
    }
    for line in unknown {
        tally.unread(line);
    }
    let hint = "give each missing privilege on its path to the token and to its user (`pveum acl modify`)";
    tally.verdict(format!("all {} privileges that were looked for are held", wanted.len()), hint).evidence(notes)
}

/// Any VM that is not yet: what is handed down to it from /vms.
fn vms() -> String {
    "/vms/0".to_owned()
}

/// Where machines are going to be when no cluster says so: /vms, or the pool where more is held.
fn likely_place(held: &Held) -> String {
    let pools = held.keys().filter(|path| path.starts_with("/pool/")).cloned();
    let count = |path: &String| {
        ON_MACHINES.iter().filter(|(any, _)| any.iter().any(|privilege| holds(held, path, privilege))).count()
    };
    // of equals the last one
    pools.chain([vms()]).max_by_key(count).unwrap_or_else(vms)
}

fn shown(path: &str) -> &str {
    if path == "/vms/0" { "/vms" } else { path }
}

fn on_machines(paths: &[String], wanted: &mut BTreeSet<Need>) {
    for (privileges, what_for) in ON_MACHINES {
        wanted.insert(Need { paths: paths.to_vec(), privileges, what_for });
    }
}

/// What the machines of one spec need. Where something is not known that would be needed to know that, `unknown`
/// says so.
fn for_spec(
    evidence: &Evidence,
    spec: &ProxmoxMachineSpec,
    wanted: &mut BTreeSet<Need>,
    unknown: &mut BTreeSet<String>,
) {
    let machines: Vec<String> = spec.pool.iter().map(|pool| format!("/pool/{pool}")).chain([vms()]).collect();
    on_machines(&machines, wanted);
    let version = evidence.proxmox.version.known();
    let eight = version.is_some_and(|seen| seen.version.starts_with("8."));
    let checks = spec.checks.clone().unwrap_or_default();
    if checks.skip_qemu_guest_agent != Some(true) {
        let privileges: &[&str] = match (eight, checks.skip_cloud_init_status) {
            (true, _) => &["VM.Monitor"],
            (false, Some(true)) => &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"],
            (false, None | Some(false)) => &["VM.GuestAgent.Unrestricted"],
        };
        wanted.insert(Need { paths: machines, privileges, what_for: "ask the guest agent" });
    }
    let storages = match of_template(evidence, spec, wanted) {
        Ok(storages) => storages,
        Err(why) => {
            unknown.insert(format!("privileges on the template and its storages are not known to be enough: {why}"));
            spec.storage.iter().cloned().collect()
        }
    };
    for storage in storages {
        let paths = vec![format!("/storage/{storage}")];
        wanted.insert(Need { paths, privileges: &["Datastore.AllocateSpace"], what_for: "store disks" });
    }
    match of_images(evidence, spec) {
        Ok(needs) => wanted.extend(needs),
        Err(why) => {
            unknown.insert(format!("privileges on storages for images are not known to be enough: {why}"));
        }
    }
    for nic in &spec.network.network_devices {
        let Some(bridge) = &nic.bridge else { continue };
        let vlan = nic.vlan.map(|vlan| format!("/{vlan}")).unwrap_or_default();
        let paths = vec![format!("/sdn/zones/localnetwork/{bridge}{vlan}")];
        wanted.insert(Need { paths, privileges: &["SDN.Use"], what_for: "plug NICs in" });
    }
}

/// Adds what cloning the template needs; the storages that the clones lie on.
fn of_template(
    evidence: &Evidence,
    spec: &ProxmoxMachineSpec,
    wanted: &mut BTreeSet<Need>,
) -> Result<BTreeSet<String>, String> {
    let (vmid, guest) = scope::template(evidence, spec).map_err(|verdict| verdict.message)?;
    let pool = guest.pool.iter().map(|pool| format!("/pool/{pool}"));
    let paths: Vec<String> = [format!("/vms/{vmid}")].into_iter().chain(pool).collect();
    wanted.insert(Need { paths, privileges: &["VM.Clone"], what_for: "clone the template" });
    if let Some(storage) = &spec.storage {
        return Ok(BTreeSet::from([storage.clone()]));
    }
    let settings = scope::of(&evidence.proxmox.settings, &vmid)?;
    let disks = settings.disks.values().filter(|disk| !disk.cdrom);
    Ok(disks.filter_map(|disk| disk.volume.as_ref()).map(|volume| volume.storage.to_string()).collect())
}

/// On each node one of the storages for images: bootstrap images come there and go again.
fn of_images(evidence: &Evidence, spec: &ProxmoxMachineSpec) -> Result<Vec<Need>, String> {
    let nodes = scope::nodes(evidence, spec).map_err(|verdict| verdict.message)?;
    let rows = need("the list of storages", &evidence.proxmox.storages).map_err(|verdict| verdict.message)?;
    let mut needs = Vec::new();
    for node in nodes {
        let isos = rows.iter().filter(|row| row.node == node && row.content.contains("iso"));
        let paths: Vec<String> = isos.map(|row| format!("/storage/{}", row.storage)).collect();
        // A node without one is the matter of its own check.
        if !paths.is_empty() {
            let upload = "upload bootstrap images";
            needs.push(Need { paths: paths.clone(), privileges: &["Datastore.AllocateTemplate"], what_for: upload });
            needs.push(Need { paths, privileges: &["Datastore.Allocate"], what_for: "remove bootstrap images" });
        }
    }
    Ok(needs)
}

/// Whether the privilege is held on the path: the nearest path with entries decides, and hands down what it marks so.
pub(super) fn holds(held: &Held, path: &str, privilege: &str) -> bool {
    let mut at = path;
    loop {
        if let Some(here) = held.get(at) {
            return here.get(privilege).is_some_and(|handed_down| at == path || *handed_down);
        }
        if at == "/" {
            return false;
        }
        at = at.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn without_a_cluster_a_pool_where_all_is_held_will_do() {
        let all = || ON_MACHINES.iter().map(|(any, _)| (any[0].to_owned(), true)).collect::<BTreeMap<_, _>>();
        let some = BTreeMap::from([("VM.Audit".to_owned(), true)]);
        let pools = [("/pool/a".to_owned(), some.clone()), ("/pool/b".to_owned(), all())];
        assert_eq!(likely_place(&Held::from(pools.clone())), "/pool/b");
        let vms_too = pools.into_iter().chain([("/vms".to_owned(), all())]).collect();
        assert_eq!(shown(&likely_place(&vms_too)), "/vms", "what holds for every pool");
        assert_eq!(shown(&likely_place(&Held::new())), "/vms");
    }

    #[test]
    fn the_nearest_path_decides() {
        let here = |privilege: &str, down| BTreeMap::from([(privilege.to_owned(), down)]);
        let held = Held::from([
            ("/".to_owned(), here("VM.Audit", true)),
            ("/vms".to_owned(), here("VM.Clone", false)),
            ("/vms/100".to_owned(), here("VM.Config.CPU", false)),
        ]);
        assert!(holds(&held, "/pool/a", "VM.Audit"));
        assert!(holds(&held, "/vms", "VM.Clone"));
        assert!(!holds(&held, "/vms/101", "VM.Clone"), "not handed down");
        assert!(!holds(&held, "/vms/100", "VM.Audit"), "replaced by the nearer entry");
        assert!(holds(&held, "/vms/100", "VM.Config.CPU"));
    }
}
