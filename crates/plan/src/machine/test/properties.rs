//! What holds whatever happens: converges, is safe, quiet and interruptible. Wrong planners that these reject are
//! named beside them.

use std::time::Duration;

use api::MachineReason;
use proptest::prelude::*;
use pve_types::DiskSpec;

use super::super::*;
use super::model::*;
use crate::Seen;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(Fate::Whole), 1 => Just(Fate::Before), 1 => Just(Fate::After)]
}

proptest! {
    /// Converges on what was wanted though any pass may die before or after its step, and joins late. Rejects: a
    /// planner that clones without reserving, uploads once only by memory, starts without the ISO, or forgets to grow.
    #[test]
    fn every_interruption_ends_in_one_running_vm(fates in prop::collection::vec(fate(), 0..25), joins in 0usize..25) {
        let (mut world, want) = (world(), keep());
        for (turn, fate) in fates.into_iter().enumerate() {
            world.joined |= turn == joins && world.recorded.provisioned;
            let _plan = pass(&mut world, &want, fate);
        }
        let plan = settle(&mut world, &want);
        let ours: Vec<_> = world.vms.iter().filter(|(vmid, _)| world.owned(**vmid)).map(|(_, vm)| vm.clone()).collect();
        prop_assert_eq!(ours.len(), 1);
        let config = &ours[0].config;
        prop_assert!(ours[0].running && plan.facts.ready);
        prop_assert_eq!((config.cores, config.memory), (Some(4), Some(4096)));
        prop_assert_eq!(config.disks["scsi0"].size.unwrap().to_string(), "20G");
        prop_assert_eq!(config.nets[&0].bridge.as_deref(), Some("vmbr1"));
        prop_assert!(config.tags.contains("team-a") && config.tags.contains("ip_net0_10.0.0.20"));
        prop_assert!(config.description.as_deref().unwrap().starts_with("a worker\n"));
        prop_assert_eq!(world.started, 1);
        world.joined = true;
        let plan = settle(&mut world, &want);
        let settled = matches!(plan.why, Note::Settled { .. });
        prop_assert!(settled);
        prop_assert!(world.isos.is_empty(), "the bootstrap data stays behind");
        let attached = |disk: &DiskSpec| disk.volume().is_some_and(|volume| volume.name.starts_with("iso/"));
        let vm = world.vms.values().find(|vm| vm.running).unwrap();
        prop_assert!(!vm.config.disks.values().any(attached));
    }

    /// Deletes all, from any state, though any pass may die. Rejects: letting go before the VM is gone, leaving the ISO.
    #[test]
    fn deletion_from_any_state_leaves_nothing(made in 0usize..14, fates in prop::collection::vec(fate(), 0..15)) {
        let (mut world, want) = (world(), keep());
        for _ in 0..made {
            let _plan = pass(&mut world, &want, Fate::Whole);
        }
        for fate in fates {
            if !world.gone {
                let _plan = pass(&mut world, &Want::Remove, fate);
            }
        }
        if !world.gone {
            let _plan = settle(&mut world, &Want::Remove);
        }
        prop_assert!(world.gone);
        prop_assert_eq!(world.ours(), 0);
        prop_assert!(world.isos.is_empty());
        prop_assert_eq!(world.vms.len(), 1, "the template stays");
    }

    /// Safe: a VM of others at our VMID, or with our name, is left alone, and a new VMID is found.
    #[test]
    fn what_is_not_ours_is_left_alone(when in 0usize..8, name in "w-[01]", remove in any::<bool>()) {
        let (mut world, want) = (world(), keep());
        for _ in 0..when {
            if world.recorded.reserved.is_some() && world.clones == 0 {
                break;
            }
            let _plan = pass(&mut world, &want, Fate::Whole);
        }
        let (at, vm) = foreign(100, &name, "oxmox: machine=default/w-0 uid=uid-2");
        let free = !world.vms.contains_key(&at);
        if free {
            world.vms.insert(at, vm);
        }
        let end = if remove { Want::Remove } else { want };
        let _plan = settle(&mut world, &end);
        if free {
            prop_assert!(world.vms[&at].running);
        }
        prop_assert_eq!(world.ours(), usize::from(!remove));
    }

    /// Nothing is ordered while a task runs, a step is left alone, or Proxmox VE could not be read.
    #[test]
    fn nothing_is_ordered_unseen(made in 0usize..14, remove in any::<bool>()) {
        let (mut world, want) = (world(), keep());
        for _ in 0..made {
            let _plan = pass(&mut world, &want, Fate::Whole);
        }
        let want = if remove { Want::Remove } else { want };
        let upid = "UPID:pve1:0000125E:0008CD16:6B049C0A:qmclone:9000:flow@pve!machine:".parse().unwrap();
        let blind = [
            Observed { inventory: Seen::Unread("503".into()), ..world.observed() },
            Observed { task: Seen::Known(Task { upid }), ..world.observed() },
            Observed { task: Seen::Unread("timeout".into()), ..world.observed() },
            Observed {
                backoff: Some(Backoff {
                    doing: MachineReason::TaskFailed,
                    why: "no space".into(),
                    left: Duration::from_secs(4),
                }),
                ..world.observed()
            },
        ];
        for seen in blind {
            let plan = plan(&who(), &want, &seen);
            prop_assert_eq!(plan.step, None);
            prop_assert_eq!(plan.look, None);
            prop_assert_ne!(plan.again, Again::OnChange, "would rest for ever");
        }
    }
}
