//! A guest's own cloud-init, stage by stage as its services would run it at boot, and the container images it needs.
//!
//! Promises: the real program on the real seed; its stages in their order; the last two only when containerd has the
//! images that a kubeadm in user data will ask for. Assumes the network is up.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::unit::logging;
use super::{Boot, IMAGES_MARK, inside};
use crate::tool;

const LOG: &str = "/var/log/cloud-init-output.log";
const IMAGES: &str = "/run/guest-node/images";
const MORE_IMAGES: &str = "/run/guest-node/more-images";
const CONTAINERD: &str = "/var/lib/containerd";
const CONTAINERD_WITHIN: Duration = Duration::from_mins(1);

/// Begins both in the background.
pub(super) fn begin(boot: &Boot, note: impl Fn(&str) + Clone + Send + 'static) {
    let (tell, ready) = channel();
    let image = boot.image.clone();
    let more = boot.more_images.is_some();
    let says = note.clone();
    thread::spawn(move || {
        match import(&image) {
            Ok(()) => says("container images are in"),
            Err(err) => says(&format!("container images: {err:#}")),
        }
        let _ = tell.send(());
        // What kubeadm does not ask for may come later: a kubelet waits for it.
        if more && let Err(err) = containerd_answers().and_then(|()| bring(Path::new(MORE_IMAGES))) {
            says(&format!("more container images: {err:#}"));
        }
    });
    let seeded = boot.seed.is_some();
    thread::spawn(move || match stages(&ready, seeded, &note) {
        Ok(()) => note("cloud-init is done"),
        Err(err) => note(&format!("cloud-init: {err:#}; its words are in {LOG}")),
    });
}

fn stages(images: &Receiver<()>, seeded: bool, note: &impl Fn(&str)) -> Result<()> {
    if !seeded {
        note("cloud-init: no drive with a seed");
        return Ok(());
    }
    stage(&["init", "--local"])?;
    stage(&["init"])?;
    // However that ended: user data decides what to do without images.
    let _ = images.recv();
    note("cloud-init runs user data");
    // A module that fails is reported by its stage's exit code; the stages after it run all the same.
    let config = stage(&["modules", "--mode=config"]);
    let last = stage(&["modules", "--mode=final"]);
    config.and(last)
}

fn stage(words: &[&str]) -> Result<()> {
    let mut command = inside("cloud-init");
    command.args(words);
    logging(&mut command, Path::new(LOG))?;
    let status = command.status().context("start cloud-init")?;
    if !status.success() {
        bail!("stage `{}`: {status}", words.join(" "));
    }
    Ok(())
}

/// Brings the node image's container images into containerd, once for a disk and an image.
pub(super) fn import(image: &Path) -> Result<()> {
    let key = image.display().to_string();
    let mark = Path::new(CONTAINERD).join(IMAGES_MARK);
    containerd_answers()?;
    if fs::read_to_string(&mark).is_ok_and(|mark| mark == key) {
        return Ok(());
    }
    bring(Path::new(IMAGES))?;
    fs::write(mark, key)?;
    Ok(())
}

/// Brings a directory of images into containerd.
fn bring(directory: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .with_context(|| format!("images in `{}`", directory.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "tar"))
        .collect();
    files.sort();
    for file in files {
        tool::run(inside("ctr").args(["-n", "k8s.io", "images", "import"]).arg(&file))?;
    }
    Ok(())
}

fn containerd_answers() -> Result<()> {
    let deadline = Instant::now() + CONTAINERD_WITHIN;
    loop {
        match tool::run(inside("ctr").arg("version")) {
            Ok(_) => return Ok(()),
            Err(err) if Instant::now() > deadline => return Err(err),
            #[expect(clippy::disallowed_methods, reason = "the edge: another program's socket, which tells nobody")]
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}
