//! Fronts: our program under other programs' names, inside a guest.
//!
//! Promises: a front changes as little as a small machine demands, and then becomes the real program. Assumes that it is
//! found first on `PATH`, and the real one in `/usr/bin` or `/usr/sbin`.

mod kubeadm;
mod runc;
mod systemctl;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// Acts as the program called `name`, if it is one of ours.
pub fn act(name: &str, arguments: &[String]) -> Option<Result<ExitCode>> {
    Some(match name {
        "runc" => runc::front(arguments),
        "kubeadm" => kubeadm::front(arguments),
        "systemctl" => systemctl::systemctl(arguments),
        "service" => systemctl::service(arguments),
        "poweroff" | "halt" | "reboot" | "shutdown" => systemctl::systemctl(&[name.to_owned()]),
        _ => return None,
    })
}

/// Becomes the real program.
fn become_real(name: &str, arguments: &[String]) -> Result<ExitCode> {
    let real = ["/usr/sbin", "/usr/bin"]
        .map(|dir| Path::new(dir).join(name))
        .into_iter()
        .find(|path| path.exists())
        .with_context(|| format!("`{name}` is not in this node"))?;
    let err = Command::new(&real).arg0(name).args(arguments).exec();
    Err(err).with_context(|| format!("run `{}`", real.display()))
}
