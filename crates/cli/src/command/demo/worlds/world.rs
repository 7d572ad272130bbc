//! What a broken world is: how it is broken, what `oxmox verify` has to say of it, and how it is healed.
//!
//! A world is data. In its texts `{NAME}` stands for what the lab has: see [`super::act::Lab::learn`].

/// One broken world.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    /// `STEP.WHAT`, as in the checks' ids.
    pub(super) id: &'static str,
    /// The step, 1 to 7, whose checks have to see it.
    pub(super) step: u8,
    /// The step that a demo must have come to, so that there is something to break.
    pub(super) from: u8,
    /// What is broken, for people.
    pub(super) what: &'static str,
    /// What breaks it, in order.
    pub(super) breaks: &'static [Do],
    /// How this one world is looked at: settings of `oxmox verify` that are not the usual ones.
    pub(super) with: &'static [With],
    /// What mends it, in order; all of it is done, whatever fails.
    pub(super) heals: &'static [Do],
    /// The checks that end otherwise than in health; all others end as in health.
    pub(super) expects: &'static [Expected],
    /// Seconds that it takes on two idle cores, healing included.
    pub(super) seconds: u64,
}

/// One thing that is done to the lab.
#[derive(Debug, Clone, Copy)]
pub(super) enum Do {
    /// A call of the simulator's control door: method, path, JSON or nothing.
    Door(&'static str, &'static str, &'static str),
    /// A call of Proxmox VE by `root@pam`: method, path, form. A task that it starts must end well.
    Pve(&'static str, &'static str, &'static [(&'static str, &'static str)]),
    /// A value that Proxmox VE has now is kept under a name: name, path, JSON pointer.
    Keep(&'static str, &'static str, &'static str),
    /// kubectl on the management cluster.
    Management(&'static [&'static str]),
    /// kubectl on the workload cluster.
    Workload(&'static [&'static str]),
    /// A manifest is applied to the workload cluster.
    Apply(&'static str),
    /// A command line in a guest, run by its agent: node, VMID, command line for `sh -c`.
    Guest(&'static str, &'static str, &'static str),
    /// A ServiceAccount of the management cluster that may read the cluster's objects, and no Secrets; its kubeconfig is
    /// `{reader}`.
    Reader,
    /// It goes.
    NoReader,
    /// In a file one text stands for another.
    Rewrite(&'static str, &'static str, &'static str),
    /// A process of the set is told to end, and does.
    Stop(&'static str),
    /// A process of the set is killed.
    Kill(&'static str),
    /// A process that has ended is started again.
    Start(&'static str),
    /// Waits until kubectl on the workload cluster says this: arguments, what its output contains, seconds.
    Until(&'static [&'static str], &'static str, u64),
    /// Waits until kubectl on the workload cluster no longer says this: arguments, what its output lacks, seconds.
    UntilNot(&'static [&'static str], &'static str, u64),
}

/// An environment variable of `oxmox verify` that is not as usual: name, value.
#[derive(Debug, Clone, Copy)]
pub(super) struct With(pub(super) &'static str, pub(super) &'static str);

/// What a check has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Its id.
    pub(super) check: &'static str,
    /// How it has to end.
    pub(super) is: Is,
    /// A piece of text that its explanation must contain: message, evidence or next move.
    pub(super) says: &'static str,
}

/// How a check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    /// Failed, as an error.
    Failed,
    /// Failed, as a warning.
    Warned,
    /// Failed as an error, or as a warning while what is broken is young.
    Told,
    /// It could not look.
    Unread,
    /// An earlier failure or a missing part makes it meaningless.
    Blocked,
}

/// The check fails, as an error.
pub(super) const fn fails(check: &'static str, says: &'static str) -> Expected {
    Expected { check, is: Is::Failed, says }
}

/// The check fails, as a warning.
pub(super) const fn warns(check: &'static str, says: &'static str) -> Expected {
    Expected { check, is: Is::Warned, says }
}

/// The check fails, how much depends on the age of what is broken.
pub(super) const fn tells(check: &'static str, says: &'static str) -> Expected {
    Expected { check, is: Is::Told, says }
}

/// The check cannot look.
pub(super) const fn unread(check: &'static str, says: &'static str) -> Expected {
    Expected { check, is: Is::Unread, says }
}

/// The check means nothing while another fails, which it names.
pub(super) const fn blocked(check: &'static str, says: &'static str) -> Expected {
    Expected { check, is: Is::Blocked, says }
}
