//! A typed asynchronous client of the Proxmox VE API.
//!
//! * What it is: a [`Client`] for calls, and a [`Poller`] that reads the cluster once for everybody.
//! * What it promises: every failure says what Proxmox may have done ([`Error`]); a secret is never
//!   printed; no call has a path with an empty segment; calls in flight are bounded per endpoint.
//! * What it assumes: Proxmox VE 8 or 9 behind the URLs, all of them doors to the same cluster.

mod access;
mod agent;
mod base_url;
mod call;
mod client;
mod cluster;
mod config;
mod error;
mod figures;
mod guest;
mod login;
mod membership;
mod monitor;
mod poller;
mod refusal;
mod resources;
mod retry;
mod storage;
mod task;
mod transport;
mod trust;

pub use access::Permissions;
pub use agent::{AgentAddress, AgentInterface, ExecStatus};
pub use base_url::{BadUrl, BaseUrl};
pub use client::Client;
pub use cluster::{HaResource, NetworkInterface, NodeEntry, Pool, PoolMember, Version};
pub use config::{Auth, ClientCert, ClientConfig, ConfigError, Proxy, Timeouts};
pub use error::{Error, Garbled, Refused, TaskFailed, Tried, Unanswered, Unsent, UnsentCause};
pub use figures::{CallFigures, Ended, Figures, Measures, TaskFigures};
pub use guest::{CloneRequest, ConfigUpdate, Freed, GuestState, Late, PendingRow, Purge};
pub use membership::Membership;
pub use monitor::{Fields, NotBackedUp, UsageRow};
pub use poller::{Busy, Changed, Changes, Failure, Poller, PollerOptions, Snapshot, TaskSeen};
pub use refusal::Refusal;
pub use resources::{GuestKind, GuestRow, GuestStatus, NodeRow, PoolRow, Resources, StorageRow};
pub use retry::{Idempotency, retry_after};
pub use storage::{Allocation, ContentRow, StorageStatus, VolumeInfo};
pub use task::{TaskRow, TaskStatus};
pub use trust::{Fingerprint, Trust};
