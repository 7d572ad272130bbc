//! Resource pools.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A pool and its members.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) comment: Option<String>,
    pub(crate) vms: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}
