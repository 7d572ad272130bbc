//! Reading: the machine, its container runtime, the control plane. Writes nothing.
//!
//! * What it promises: a part that cannot be read spoils no other; below another root only files are read, and programs
//!   are not run.

mod machine;
mod member;
mod programs;
mod runtime;
mod server;
mod traces;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::{Bundle, Host, Record, Seen};

pub(crate) use traces::saved;
pub use traces::traces;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root of the machine's files: `/`, or a directory that stands for it in a test.
    pub root: PathBuf,
    /// The socket of the container runtime, `unix:///run/containerd/containerd.sock`.
    pub cri_socket: String,
}

impl Place {
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether this is the machine that we run on.
    pub(crate) fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    /// What our own join wrote down.
    pub fn record(&self) -> Seen<Record> {
        let path = self.path(crate::record::FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|why| format!("`{}`: {why}", path.display())).into(),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Seen::Absent,
            Err(why) => Seen::Unread(format!("`{}`: {why}", path.display())),
        }
    }
}

/// Reads the machine, and the control plane of the bundle if there is one.
pub async fn host(place: &Place, bundle: Option<&Bundle>, now: impl Fn() -> Timestamp + Send + Sync) -> Host {
    let name = match bundle.and_then(|bundle| bundle.node_name.clone()) {
        Some(name) => Seen::Known(name),
        None => machine::name(place),
    };
    let (kubelet, kubeadm) = tokio::join!(
        programs::version(place, "kubelet", &["--version"]),
        programs::version(place, "kubeadm", &["version", "-o", "short"])
    );
    let server = match bundle {
        Some(bundle) => Seen::Known(server::read(bundle, name.known().map(String::as_str), now).await),
        None => Seen::Unasked,
    };
    Host {
        uid: rustix::process::getuid().as_raw(),
        identity: machine::identity(place),
        cgroups: machine::cgroups(place),
        swap: machine::swap(place),
        listening: machine::listening(place),
        default_route: machine::default_route(place),
        forward: machine::flag(place, "/proc/sys/net/ipv4/ip_forward"),
        bridge_filter: machine::flag(place, "/proc/sys/net/bridge/bridge-nf-call-iptables"),
        memory_mib: machine::memory(place),
        rooms: machine::rooms(place),
        runtime: runtime::read(place).await,
        kubelet,
        kubeadm,
        left: traces::left(place),
        record: place.record(),
        member: member::read(place).await,
        name,
        server,
    }
}

/// An error with its causes, each once.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = cause.source();
    }
    words
}
