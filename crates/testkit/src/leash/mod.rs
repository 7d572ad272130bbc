//! The leash: private namespaces that lead nowhere, and one process whose death ends all.
//!
//! ```text
//! owner (xtask lab, oxmox demo)     in the machine's namespaces; cleans up at the end
//!   └─ setpriv, unshare             dies with its owner (parent-death signal)
//!        └─ init (ours, PID 1)      dies with unshare; its death ends everything in the PID namespace
//!             └─ the command        OXMOX_LAB=1
//! ```
//!
//! Promises: what runs inside has a network of its own with loopback and no way out, mounts of its own, `/run` of its
//! own (so that `ip netns` names stay inside), and a cgroup of its own as root of its cgroup2 tree; at the end no
//! process, mount, namespace or cgroup is left. If the owner is killed, the kernel ends all, and [`clean`] removes the
//! cgroup and the state file that stayed.
//! Assumes: root, util-linux, iproute2. A cgroup2 mount is used where there is one, at whatever place.

mod cgroup;
mod clean;
mod init;
mod proc;
mod run;
mod state;
mod wait;

use std::path::PathBuf;

pub use self::clean::{Scope, clean};
pub use self::init::{INIT, init};
pub use self::run::{Leash, enter};
pub use self::wait::{block_on, exit_code};

/// Set inside.
pub const INSIDE: &str = "OXMOX_LAB";

/// Set inside: the leash's own directory.
const DIR: &str = "OXMOX_LAB_DIR";

/// Whether we run on a leash.
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// On a leash: a directory that goes away with it, for what nobody wants afterwards.
pub fn dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}
