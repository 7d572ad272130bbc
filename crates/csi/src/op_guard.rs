//! One operation at a time on a volume, and one change at a time on a VM.
//!
//! A second operation on a volume is told `Aborted`, as the interface wants it; a second change of a VM waits its turn,
//! for Proxmox VE would let it wait too, ten seconds and then no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use plan::volume::{Kind, Refusal};
use pve_types::Vmid;
use tokio::sync::OwnedMutexGuard;

/// Who is at work on what.
#[derive(Clone, Default)]
pub(crate) struct Guards {
    names: Arc<Mutex<BTreeSet<String>>>,
    vms: Arc<Mutex<BTreeMap<Vmid, Arc<tokio::sync::Mutex<()>>>>>,
}

/// While it lives, the name is taken.
#[must_use = "the name is free again when this is dropped"]
pub(crate) struct Guard {
    names: Arc<Mutex<BTreeSet<String>>>,
    name: String,
}

impl Guards {
    /// Takes a name: of a volume, of a request.
    pub(crate) fn take(&self, name: &str) -> Result<Guard, Refusal> {
        // A set of names has no half-way state.
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.insert(name.to_owned()) {
            let why = format!("another operation on `{name}` is under way: ask again");
            return Err(Refusal::new(Kind::Aborted, why));
        }
        Ok(Guard { names: self.names.clone(), name: name.to_owned() })
    }

    /// Waits for the VM.
    pub(crate) async fn vm(&self, vm: Vmid) -> OwnedMutexGuard<()> {
        let lock = {
            let mut vms = self.vms.lock().unwrap_or_else(PoisonError::into_inner);
            vms.entry(vm).or_default().clone()
        };
        lock.lock_owned().await
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_second_operation_on_a_volume_is_told_to_come_back() {
        let guards = Guards::default();
        let first = guards.take("a").unwrap();
        assert!(guards.take("b").is_ok());
        assert_eq!(guards.clone().take("a").err().map(|refusal| refusal.kind), Some(Kind::Aborted));
        drop(first);
        assert!(guards.take("a").is_ok());
    }

    #[tokio::test]
    async fn changes_of_one_vm_take_turns_and_others_do_not_wait() {
        let guards = Guards::default();
        let vm: Vmid = "100".parse().unwrap();
        let first = guards.vm(vm).await;
        let _other = guards.vm("101".parse().unwrap()).await;
        let mut second = tokio::spawn({
            let guards = guards.clone();
            async move { guards.vm(vm).await }
        });
        tokio::task::yield_now().await;
        assert!(futures::FutureExt::now_or_never(&mut second).is_none());
        drop(first);
        second.await.unwrap();
    }
}
