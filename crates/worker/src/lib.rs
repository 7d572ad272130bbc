//! This machine as a worker: what stops a join, joining, and leaving without a trace.
//!
//! * What it is: [`observe`] reads the machine and the API server into a [`Host`]; [`check()`], [`join::next`] and
//!   [`leave::next`] decide on that value alone; [`act`] does one step; the caller observes again.
//! * What it promises: nothing is removed that was there before the join, or that is not Kubernetes' own by its name; the
//!   token goes to no server whose authority is not the bundle's; what could not be read has not passed.
//! * What it assumes: Linux with systemd (or something that answers to `systemctl`), and kubeadm for joining and leaving.

pub mod act;
mod bundle;
mod check;
pub mod drain;
mod finding;
pub mod firewall;
mod host;
pub mod join;
pub mod leave;
pub mod observe;
mod record;
pub mod run;
mod seen;
pub mod token;
mod version;

pub use bundle::{BadBundle, Bundle, CloudProvider, Taint, authority_hash};
pub use check::check;
pub use finding::{Finding, Outcome, Report};
pub use host::{Cgroups, Host, Identity, Member, NodeSeen, Room, Runtime, Server, TokenSays};
pub use record::{Phase, Record};
pub use seen::Seen;
pub use version::Version;
