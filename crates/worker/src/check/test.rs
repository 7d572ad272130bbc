//! Each trouble on its own, and with nothing read nothing passes.

use std::collections::BTreeMap;

use super::*;
use crate::{Cgroups, Identity, Member, Outcome, Record, Room, Runtime};

const V: Version = Version { major: 1, minor: 36, patch: 3 };

/// A machine that may join, before a control plane that welcomes it.
pub(crate) fn healthy() -> Host {
    Host {
        uid: 0,
        name: Seen::Known("w-0".into()),
        identity: Seen::Known(Identity { machine_id: "aa".into(), uuid: "u1".into() }),
        cgroups: Seen::Known(Cgroups { controllers: CONTROLLERS.map(str::to_owned).into() }),
        swap: Seen::Known(Vec::new()),
        listening: Seen::Known([22].into()),
        default_route: Seen::Known(true),
        forward: Seen::Known(true),
        bridge_filter: Seen::Known(true),
        memory_mib: Seen::Known(4096),
        rooms: BTreeMap::from([("/var/lib/kubelet".into(), Seen::Known(Room { total: 100 << 30, free: 50 << 30 }))]),
        runtime: Seen::Known(Runtime { name: "containerd".into(), version: "2.1.4".into(), api: "v1".into() }),
        kubelet: Seen::Known(V),
        kubeadm: Seen::Known(V),
        left: Seen::Known(Vec::new()),
        record: Seen::Absent,
        member: Seen::Absent,
        server: Seen::Known(Server {
            url: "https://10.0.0.1:6443".into(),
            clock_ahead_ms: Seen::Known(300),
            authority: Seen::Known(("sha256:aa".into(), true)),
            version: Seen::Known(V),
            token: Seen::Known(TokenSays::Welcome),
            node: Seen::Absent,
        }),
    }
}

fn server(host: &mut Host) -> &mut Server {
    match &mut host.server {
        Seen::Known(server) => server,
        _ => panic!("no server"),
    }
}

/// The Node `w-0` of some machine.
pub(crate) fn node(machine_id: &str, uuid: &str, ready: bool) -> NodeSeen {
    let identity = Identity { machine_id: machine_id.into(), uuid: uuid.into() };
    NodeSeen { name: "w-0".into(), ready, message: "no CNI".into(), identity }
}

pub(crate) fn record(phase: Phase) -> Record {
    let (server, node) = ("https://10.0.0.1:6443".into(), "w-0".into());
    let (files, links, filters) = Default::default();
    Record { phase, server, node, files, links, filters }
}

#[test]
fn a_machine_that_is_fit_passes_all() {
    let report = check(&healthy());
    assert!(report.findings.iter().all(|one| one.outcome == Outcome::Passed), "{}", report.text());
    assert_eq!((report.findings.len(), report.exit_code()), (19, 0));
}

type Change = fn(&mut Host);

#[test]
fn each_trouble_is_found_by_its_own_check_alone_and_has_a_next_move() {
    let old = Version { minor: 32, ..V };
    assert_eq!(old.minor, 32);
    let cases: [(&str, Outcome, &str, Change); 28] = [
        ("host.root", Outcome::Failed, "user 1000", |h| h.uid = 1000),
        ("host.name", Outcome::Failed, "`W_0`", |h| h.name = Seen::Known("W_0".into())),
        ("host.cgroups", Outcome::Failed, "no unified tree", |h| h.cgroups = Seen::Absent),
        ("host.cgroups", Outcome::Failed, "without cpu, memory, pids", |h| {
            h.cgroups = Seen::Known(Cgroups { controllers: ["io".to_owned()].into() });
        }),
        ("host.swap", Outcome::Failed, "/dev/sda2", |h| h.swap = Seen::Known(vec!["/dev/sda2".into()])),
        ("host.ports", Outcome::Failed, "10250 (the kubelet)", |h| h.listening = Seen::Known([22, 10250].into())),
        ("host.ports", Outcome::Failed, "10256", |h| h.listening = Seen::Known([10256].into())),
        ("host.default-route", Outcome::Failed, "none", |h| h.default_route = Seen::Known(false)),
        ("host.ip-forward", Outcome::Failed, "is not 1", |h| h.forward = Seen::Known(false)),
        ("host.bridge-filter", Outcome::Warning, "not there", |h| h.bridge_filter = Seen::Absent),
        ("host.memory", Outcome::Failed, "256 MiB", |h| h.memory_mib = Seen::Known(256)),
        ("host.memory", Outcome::Warning, "768 MiB", |h| h.memory_mib = Seen::Known(768)),
        ("host.disk", Outcome::Failed, "/var/lib/containerd: 5 %", |h| {
            let room = Room { total: 100 << 30, free: 5 << 30 };
            h.rooms.insert("/var/lib/containerd".into(), Seen::Known(room));
        }),
        ("host.runtime", Outcome::Failed, "no container runtime", |h| h.runtime = Seen::Absent),
        ("host.runtime", Outcome::Failed, "v1alpha2", |h| {
            h.runtime =
                Seen::Known(Runtime { name: "containerd".into(), version: "1.5".into(), api: "v1alpha2".into() });
        }),
        ("host.kubelet", Outcome::Failed, "there is no kubelet", |h| h.kubelet = Seen::Absent),
        ("host.kubelet", Outcome::Failed, "may not be newer", |h| {
            h.kubelet = Seen::Known(Version { minor: 37, ..V });
        }),
        ("host.kubelet", Outcome::Failed, "4 minor versions older", |h| {
            h.kubelet = Seen::Known(Version { minor: 32, ..V });
        }),
        ("host.kubeadm", Outcome::Warning, "v1.35.3", |h| h.kubeadm = Seen::Known(Version { minor: 35, ..V })),
        ("host.leftovers", Outcome::Failed, "/etc/kubernetes/kubelet.conf", |h| {
            h.left = Seen::Known(vec!["/etc/kubernetes/kubelet.conf".into()]);
        }),
        ("host.authority", Outcome::Failed, "not the bundle's", |h| {
            server(h).authority = Seen::Known(("sha256:bb".into(), false));
        }),
        ("host.clock", Outcome::Failed, "90.0 s behind", |h| server(h).clock_ahead_ms = Seen::Known(90_000)),
        ("host.clock", Outcome::Warning, "7.0 s ahead of", |h| server(h).clock_ahead_ms = Seen::Known(-7_000)),
        ("host.token", Outcome::Failed, "expired", |h| server(h).token = Seen::Known(TokenSays::NoSuchId)),
        ("host.token", Outcome::Failed, "another secret", |h| {
            server(h).token = Seen::Known(TokenSays::WrongSecret);
        }),
        ("host.token", Outcome::Failed, "may not read", |h| server(h).token = Seen::Known(TokenSays::MayNotJoin)),
        ("host.name-free", Outcome::Failed, "is there already, another machine's, and not Ready", |h| {
            server(h).node = Seen::Known(node("aa", "another firmware", false));
        }),
        ("host.name-free", Outcome::Failed, "this machine's own, and still counts as Ready", |h| {
            server(h).node = Seen::Known(node("aa", "u1", true));
        }),
    ];
    for (id, outcome, saw, change) in cases {
        let mut host = healthy();
        change(&mut host);
        let report = check(&host);
        let wrong: Vec<&Finding> = report.findings.iter().filter(|one| one.outcome != Outcome::Passed).collect();
        assert_eq!(wrong.len(), 1, "{id}: {}", report.text());
        assert_eq!((wrong[0].id, wrong[0].outcome), (id, outcome));
        assert!(wrong[0].saw.contains(saw), "{id}: {}", wrong[0].saw);
        assert!(wrong[0].next.is_some(), "{id}");
    }
}

#[test]
fn with_nothing_read_nothing_passes_but_who_we_are() {
    let server = Server {
        url: "https://a:1".into(),
        clock_ahead_ms: Seen::Unread("x".into()),
        authority: Seen::Unread("x".into()),
        version: Seen::Unread("x".into()),
        token: Seen::Unread("x".into()),
        node: Seen::Unread("x".into()),
    };
    let report = check(&Host { server: Seen::Known(server), ..Host::default() });
    let passed: Vec<&str> =
        report.findings.iter().filter(|one| one.outcome == Outcome::Passed).map(|one| one.id).collect();
    assert_eq!(passed, ["host.root"]);
    assert_eq!(report.exit_code(), 2, "a server that does not answer stops a join");
}

#[test]
fn without_a_bundle_the_control_plane_is_left_out() {
    let report = check(&Host { server: Seen::Unasked, ..healthy() });
    assert_eq!((report.findings.len(), report.exit_code()), (14, 0), "{}", report.text());
}

#[test]
fn our_own_half_of_a_join_has_its_own_next_move_and_its_node_is_not_taken() {
    let mut host = healthy();
    host.record = Seen::Known(record(Phase::Joining));
    host.left = Seen::Known(vec!["/etc/kubernetes/bootstrap-kubelet.conf".into()]);
    server(&mut host).node = Seen::Known(node("aa", "u1", false));
    host.member = Seen::Known(Member { server: "x".into(), node: Seen::Absent });
    let report = check(&host);
    let wrong: Vec<&Finding> = report.findings.iter().filter(|one| one.outcome != Outcome::Passed).collect();
    assert_eq!(wrong.len(), 1, "{}", report.text());
    assert!(wrong[0].next.as_ref().is_some_and(|next| next.contains("takes it up again")), "{wrong:?}");
}
