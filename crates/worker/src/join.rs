//! What comes next on the way into a cluster.
//!
//! ```text
//!  nothing of us ──▶ Join ──(kubeadm ended well)──▶ Wait ──(Ready)──▶ Done
//!        ▲             │ failed, killed
//!        └── Undo ◀────┘ record says `joining`, and the kubelet has no credentials that work
//! ```
//!
//! * Promises: leftovers that are not proven to be of our own join are never undone; nothing is begun while something
//!   stops a join.
//! * Assumes: the record is written before anything else.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::check;
use crate::{Bundle, CloudProvider, Host, Outcome, Phase, Report, Seen};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: this machine is a Ready Node of that control plane.
    Done {
        /// The Node.
        node: String,
    },
    /// Wait for the Node to become Ready.
    Wait {
        /// What it says of itself.
        message: String,
    },
    /// Take away what our own unfinished join has left, then look again.
    Undo,
    /// Join by kubeadm.
    Join {
        /// The Node's name.
        node: String,
    },
    /// Do nothing, and say why.
    Refuse {
        /// Why, and the next move.
        why: String,
    },
}

/// Decides. `report` is what [`check()`] says of the same host, with what was told not to matter.
pub fn next(bundle: &Bundle, host: &Host, report: &Report) -> Next {
    let record = host.record.known();
    match &host.member {
        Seen::Known(member) => match (record, &member.node) {
            (Some(record), _) if member.server != bundle.server || record.server != bundle.server => {
                return Next::Refuse {
                    why: format!(
                        "this machine has joined {}, and the bundle is of {}\nhint: `oxmox worker leave`",
                        member.server, bundle.server
                    ),
                };
            }
            (Some(_), Seen::Known(node)) if node.ready => return Next::Done { node: node.name.clone() },
            (Some(_), Seen::Known(node)) => return Next::Wait { message: node.message.clone() },
            (Some(record), Seen::Absent) if record.phase == Phase::Joined => {
                return Next::Wait { message: "it has not registered".to_owned() };
            }
            (Some(record), Seen::Unread(why)) if record.phase == Phase::Joined => {
                return Next::Wait { message: why.clone() };
            }
            _ => {}
        },
        Seen::Absent | Seen::Unread(_) | Seen::Unasked => {}
    }
    let stops = report.stops();
    let own = host.server.known().and_then(|server| server.node.known()).filter(|node| check::is_own(host, node));
    let of_ours = |id: &str| matches!(id, "host.leftovers" | "host.ports") || (id == "host.name-free" && own.is_some());
    let only_leftovers = stops.iter().all(|one| of_ours(one.id));
    if let Some(record) = record {
        // Both of these go with what the join has made.
        return match (&host.record, only_leftovers) {
            (Seen::Known(_), true) if record.phase == Phase::Joining => Next::Undo,
            (_, true) => Next::Refuse {
                why: "this machine has joined, and its kubelet has no credentials any more\nhint: `oxmox worker leave`"
                    .to_owned(),
            },
            (_, false) => refuse(report),
        };
    }
    if let Seen::Unread(why) = &host.record {
        return Next::Refuse { why: format!("read the record of an earlier join: {why}") };
    }
    if let Some(node) = own.filter(|node| node.ready)
        && stops.iter().all(|one| one.id == "host.name-free")
    {
        let message =
            format!("Node `{}` of an earlier join still counts as Ready; kubeadm joins when it does not", node.name);
        return Next::Wait { message };
    }
    match (stops.is_empty(), &host.name) {
        (true, Seen::Known(node)) => Next::Join { node: node.clone() },
        _ => refuse(report),
    }
}

fn refuse(report: &Report) -> Next {
    let line = |one: &&crate::Finding| {
        format!(
            "{}: {}{}",
            one.id,
            one.saw,
            one.next.as_ref().map(|next| format!("\nhint: {next}")).unwrap_or_default()
        )
    };
    let stops = report.stops();
    // What could not be read is most often what a failure has kept from us.
    let failed = stops.iter().any(|one| one.outcome == Outcome::Failed);
    let told = stops.iter().filter(|one| !failed || one.outcome == Outcome::Failed);
    Next::Refuse { why: told.map(line).collect::<Vec<_>>().join("\n") }
}

/// Decides from the host alone, with nothing told not to matter.
pub fn next_of(bundle: &Bundle, host: &Host) -> Next {
    next(bundle, host, &check::check(host))
}

/// kubeadm's configuration of the join. It holds the token.
pub fn configuration(bundle: &Bundle, node: &str, cri_socket: &str, ignored: &[String]) -> Value {
    let token = bundle.token.expose_secret();
    let mut arguments = Vec::new();
    let mut argument = |name: &str, value: &str| arguments.push(json!({"name": name, "value": value}));
    if bundle.cloud_provider == CloudProvider::External {
        argument("cloud-provider", "external");
    }
    if !bundle.labels.is_empty() {
        let labels: Vec<String> = bundle.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        argument("node-labels", &labels.join(","));
    }
    if let Some(id) = &bundle.provider_id {
        argument("provider-id", id);
    }
    let mut registration = json!({
        "name": node,
        "criSocket": cri_socket,
        "kubeletExtraArgs": arguments,
        "taints": bundle.taints,
    });
    if !ignored.is_empty() {
        registration["ignorePreflightErrors"] = json!(ignored);
    }
    json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": bundle.endpoint(),
                "token": token,
                "caCertHashes": bundle.authorities,
            },
            "tlsBootstrapToken": token,
        },
        "nodeRegistration": registration,
    })
}

/// kubeadm's own names of what was told not to matter.
pub fn kubeadm_errors(ignored: &[String]) -> Vec<String> {
    let names = |id: &String| match id.as_str() {
        "host.cgroups" => &["SystemVerification"][..],
        "host.swap" => &["Swap"],
        "host.ports" => &["Port-10250"],
        "host.ip-forward" => &["FileContent--proc-sys-net-ipv4-ip_forward"],
        "host.bridge-filter" => &["FileContent--proc-sys-net-bridge-bridge-nf-call-iptables"],
        "host.memory" => &["Mem"],
        "host.kubelet" => &["KubeletVersion"],
        _ => &[],
    };
    ignored.iter().flat_map(names).map(|name| (*name).to_owned()).collect()
}

/// What kubeadm's words mean; `None`: nothing better than the words themselves.
pub fn explain(words: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 7] = [
        (
            "is invalid for this cluster or it has expired",
            "the token has expired; make a new bundle: `oxmox worker bundle`",
        ),
        ("could not find a JWS signature", "the token has expired; make a new bundle: `oxmox worker bundle`"),
        (
            "certificate public keys in the list of pinned",
            "another cluster answers there, or somebody in between: make a new bundle",
        ),
        ("none of the public keys", "another cluster answers there, or somebody in between: make a new bundle"),
        ("already exists in the cluster", "another machine has this name: set `nodeName` in the bundle"),
        ("Unauthorized", "the token's secret is another; make a new bundle: `oxmox worker bundle`"),
        ("kubelet is not healthy", "`journalctl -u kubelet` says why"),
    ];
    KNOWN.iter().find(|(text, _)| words.contains(text)).map(|(_, next)| *next)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::Member;
    use crate::check::test::{healthy, node as seen, record};

    const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn bundle(more: &str) -> Bundle {
        let text =
            format!("server: https://10.0.0.1:6443\ntoken: abcdef.0123456789abcdef\ncaCertHashes: ['{HASH}']\n{more}");
        Bundle::parse(&text).unwrap()
    }

    fn node(ready: bool) -> Seen<Member> {
        Seen::Known(Member { server: "https://10.0.0.1:6443".into(), node: Seen::Known(seen("aa", "u1", ready)) })
    }

    #[test]
    fn a_fit_machine_joins_and_one_that_is_not_is_told_why() {
        assert_eq!(next_of(&bundle(""), &healthy()), Next::Join { node: "w-0".into() });
        let mut host = healthy();
        host.swap = Seen::Known(vec!["/swap".into()]);
        let Next::Refuse { why } = next_of(&bundle(""), &host) else { panic!("it joins") };
        assert!(why.contains("host.swap: in use: /swap\nhint: "), "{why}");
        let ignoring = check::check(&host).ignoring(&["host.swap".into()]).unwrap();
        assert_eq!(next(&bundle(""), &host, &ignoring), Next::Join { node: "w-0".into() });
    }

    #[test]
    fn what_could_not_be_looked_at_stops_a_join() {
        let mut host = healthy();
        host.left = Seen::Unread("permission denied".into());
        assert!(matches!(next_of(&bundle(""), &host), Next::Refuse { .. }));
    }

    #[test]
    fn leftovers_of_somebody_else_are_never_undone() {
        let mut host = healthy();
        host.left = Seen::Known(vec!["/etc/kubernetes/kubelet.conf".into()]);
        let Next::Refuse { why } = next_of(&bundle(""), &host) else { panic!("it goes on") };
        assert!(why.contains("`oxmox worker leave`"), "{why}");
        host.member = node(true);
        assert!(matches!(next_of(&bundle(""), &host), Next::Refuse { .. }), "joined, but not by us");
    }

    #[test]
    fn our_own_unfinished_join_is_undone_or_waited_for() {
        let mut host = healthy();
        host.record = Seen::Known(record(Phase::Joining));
        host.left = Seen::Known(vec!["/etc/kubernetes/bootstrap-kubelet.conf".into()]);
        host.listening = Seen::Known([10250].into());
        assert_eq!(next_of(&bundle(""), &host), Next::Undo);
        if let Seen::Known(server) = &mut host.server {
            server.node = Seen::Known(seen("aa", "u1", true));
        }
        assert_eq!(next_of(&bundle(""), &host), Next::Undo, "its Node is not missed yet");
        host.member = node(false);
        assert_eq!(next_of(&bundle(""), &host), Next::Wait { message: "no CNI".into() });
        host.member = node(true);
        assert_eq!(next_of(&bundle(""), &host), Next::Done { node: "w-0".into() });
    }

    #[test]
    fn a_token_that_has_expired_stops_even_the_taking_up() {
        let mut host = healthy();
        host.record = Seen::Known(record(Phase::Joining));
        if let Seen::Known(server) = &mut host.server {
            server.token = Seen::Known(crate::TokenSays::NoSuchId);
        }
        let Next::Refuse { why } = next_of(&bundle(""), &host) else { panic!("it goes on") };
        assert!(why.contains("expired"), "{why}");
    }

    #[test]
    fn the_node_of_an_earlier_life_is_waited_for_until_it_is_missed_and_anothers_never() {
        let with = |node| {
            let mut host = healthy();
            if let Seen::Known(server) = &mut host.server {
                server.node = Seen::Known(node);
            }
            next_of(&bundle(""), &host)
        };
        assert!(matches!(with(seen("aa", "u1", true)), Next::Wait { .. }));
        assert_eq!(with(seen("aa", "u1", false)), Next::Join { node: "w-0".into() });
        for (machine_id, uuid) in [("aa", "u2"), ("bb", "u1"), ("", "")] {
            assert!(matches!(with(seen(machine_id, uuid, false)), Next::Refuse { .. }), "{machine_id} {uuid}");
        }
    }

    #[test]
    fn a_member_of_one_cluster_does_not_join_another() {
        let mut host = healthy();
        host.record = Seen::Known(record(Phase::Joined));
        host.member = node(true);
        let other = Bundle { server: "https://10.9.9.9:6443".into(), ..bundle("") };
        let Next::Refuse { why } = next_of(&other, &host) else { panic!("it goes on") };
        assert!(why.contains("has joined https://10.0.0.1:6443"), "{why}");
    }

    #[test]
    fn kubeadm_gets_labels_taints_and_ids_in_its_own_words() {
        let bundle = bundle(
            "labels: {disk: ssd, a: b}\ntaints: [{key: hypervisor, value: 'true', effect: NoSchedule}]\n\
             providerID: proxmox://dc1/101\ncloudProvider: external\n",
        );
        let words = configuration(&bundle, "w-0", "unix:///run/containerd/containerd.sock", &["Swap".into()]);
        let registration = &words["nodeRegistration"];
        assert_eq!(
            registration["kubeletExtraArgs"],
            json!([
                {"name": "cloud-provider", "value": "external"},
                {"name": "node-labels", "value": "a=b,disk=ssd"},
                {"name": "provider-id", "value": "proxmox://dc1/101"},
            ])
        );
        assert_eq!(registration["taints"], json!([{"key": "hypervisor", "value": "true", "effect": "NoSchedule"}]));
        assert_eq!(registration["ignorePreflightErrors"], json!(["Swap"]));
        assert_eq!(words["discovery"]["bootstrapToken"]["caCertHashes"], json!([HASH]));
        assert_eq!(words["discovery"]["bootstrapToken"]["apiServerEndpoint"], "10.0.0.1:6443");
    }

    #[test]
    fn kubeadms_words_about_a_token_lead_to_a_new_bundle() {
        let said = "error execution phase preflight: couldn't validate the identity of the API Server: could not find a JWS signature";
        assert!(explain(said).unwrap().contains("oxmox worker bundle"));
        assert_eq!(explain("segmentation fault"), None);
    }
}
