//! Which of many guests a caller sees, without asking the access control list for each.

use std::collections::{BTreeSet, HashMap};

use crate::perm::Who;
use crate::state::World;
use crate::state::pool::Pool;

/// What one caller sees.
#[derive(Debug)]
pub(crate) struct Sight<'w> {
    world: &'w World,
    who: &'w Who,
    privilege: &'static str,
    /// The guests that entries name.
    named: BTreeSet<u32>,
    /// The pool of every guest that has one.
    pools: HashMap<u32, &'w str>,
    /// Whether all others are seen: whom nothing names is seen as any other is.
    others: bool,
}

impl<'w> Sight<'w> {
    /// Of guests on which somebody needs this privilege to see them.
    pub(crate) fn new(world: &'w World, who: &'w Who, privilege: &'static str) -> Self {
        let of = |(id, pool): (&'w String, &'w Pool)| pool.vms.iter().map(move |vmid| (*vmid, id.as_str()));
        let pools = world.pools.iter().flat_map(of).collect();
        let others = world.may(who, "/vms/0", privilege);
        Self { world, who, privilege, named: world.access.named_vms(), pools, others }
    }

    pub(crate) fn pool(&self, vmid: u32) -> Option<&'w str> {
        self.pools.get(&vmid).copied()
    }

    pub(crate) fn sees(&self, vmid: u32) -> bool {
        if self.who.is_root() {
            return self.others;
        }
        let special = self.named.contains(&vmid) || self.pools.contains_key(&vmid);
        if special { self.world.may(self.who, &format!("/vms/{vmid}"), self.privilege) } else { self.others }
    }
}
