//! Condition types and reasons. The peer's names where the peer has one; strings appear only here.

use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => stringify!($variant),)* })
            }
        }
    };
}

words! {
    /// Types of conditions.
    ConditionType {
        /// The summary that Cluster API mirrors.
        Ready,
        /// Of a `ProxmoxCluster`: Proxmox VE answers and has what the spec names.
        ProxmoxAvailable,
        /// Of a `ProxmoxMachine`: its VM is as wanted.
        VirtualMachineProvisioned,
        /// Reconciliation is paused.
        Paused,
    }
}

words! {
    /// Reasons of a `ProxmoxCluster`'s conditions.
    ClusterReason {
        /// All there.
        Provisioned,
        /// Proxmox VE does not answer, or refuses us.
        ProxmoxUnreachable,
        /// The Secret is missing or lacks a key.
        CredentialsNotFound,
        /// Nobody has written the control-plane endpoint yet.
        MissingControlPlaneEndpoint,
        /// The spec says something that cannot be.
        InvalidSpec,
        /// `allowedNodes` names a node that the Proxmox VE cluster has not.
        NodeNotFound,
        /// The cluster has no owner yet.
        WaitingForOwner,
        /// Being deleted.
        Deleting,
        /// Reconciliation is paused.
        Paused,
        /// Reconciliation is not paused.
        NotPaused,
    }
}

words! {
    /// Reasons of a `ProxmoxMachine`'s conditions.
    MachineReason {
        /// The VM runs and is as wanted.
        Provisioned,
        /// The machine has no owner yet.
        WaitingForOwner,
        /// The `ProxmoxCluster` is not ready yet.
        WaitingForClusterInfrastructureReady,
        /// The bootstrap provider has not made the bootstrap data yet.
        WaitingForBootstrapData,
        /// The spec says something that cannot be.
        InvalidSpec,
        /// No template, or several, match.
        TemplateNotFound,
        /// No allowed node has room.
        InsufficientMemory,
        /// A node, storage or pool that is named does not exist or lacks what is needed.
        PlacementFailed,
        /// No address, or no VMID, is free.
        WaitingForStaticIPAllocation,
        /// All VMIDs of the range are taken.
        VMIDExhausted,
        /// The template is being cloned.
        Cloning,
        /// The clone failed; it is tried again.
        CloningFailed,
        /// Proxmox VE could not be read.
        ProxmoxUnreachable,
        /// The VM's node of Proxmox VE is lost: nobody knows whether the VM still runs.
        ProxmoxNodeLost,
        /// Disks are being resized.
        WaitingForDiskReconciliation,
        /// The bootstrap data is being handed over.
        WaitingForBootstrapDataReconciliation,
        /// The VM is being started.
        WaitingForVMPowerUp,
        /// Starting failed; it is tried again.
        PoweringOnFailed,
        /// The guest's addresses are waited for.
        WaitingForClusterAPIMachineAddresses,
        /// cloud-init has not ended yet.
        WaitingForCloudInit,
        /// A Proxmox VE task failed; it is tried again.
        TaskFailed,
        /// A VMID or VM that should be ours is not.
        NotOurs,
        /// The VM was there and is gone.
        VirtualMachineNotFound,
        /// The VM is locked by something else.
        VirtualMachineLocked,
        /// Being deleted.
        Deleting,
        /// Deletion failed; it is tried again.
        DeletionFailed,
        /// Reconciliation is paused.
        Paused,
        /// Reconciliation is not paused.
        NotPaused,
    }
}
