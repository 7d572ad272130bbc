//! What containerd makes of the node image's container images, made once and given to every VM's fresh disk.
//!
//! ```text
//! node image ─► a guest that only imports ─► NODE-IMAGE/containerd ─► hard links into each disk (databases copied)
//! ```
//!
//! Promises: a disk gets all images in a fraction of a second and of the space; without it a guest imports by itself.
//! Assumes that containerd never changes a blob or a snapshot's lower layer in place, which is how it works.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Site;
use crate::guest::Guest;
use crate::init::{Boot, Purpose};
use crate::tool;

/// Where a guest's containerd keeps its files, below its disk directory.
const PLACE: &str = "root/var/lib/containerd";

/// The prepared files, made now if nobody has yet. None where that failed.
pub(super) async fn prepared(site: &Site) -> Option<PathBuf> {
    let ready = site.image.dir().join("containerd");
    if ready.is_dir() {
        return Some(ready);
    }
    match prepare(site, &ready).await {
        Ok(()) => Some(ready),
        Err(err) => {
            warn!("container images are imported by each guest: {err:#}");
            None
        }
    }
}

async fn prepare(site: &Site, ready: &Path) -> Result<()> {
    info!("importing the node image's container images, once");
    let began = Instant::now();
    // No VM of Proxmox has a number below 100.
    let guest: Guest =
        serde_json::from_value(serde_json::json!({"vmid": 0, "run": "import", "uuid": "", "name": "import"}))
            .context("importing guest")?;
    let home = site.home(guest.vmid);
    super::forget(&home)?;
    let disk = super::disk(&home, &guest)?;
    let boot = Boot {
        guest: guest.clone(),
        image: site.image.dir().to_owned(),
        disk: disk.clone(),
        disks: vec![],
        seed: None,
        program: site.program.clone(),
        more_images: None,
        pod_network: site.pod_network,
        purpose: Purpose::Import,
    };
    let (leash, line) = super::start(&boot, &home).await?;
    // Nobody orders it about and nobody listens: it ends by itself.
    let (_order, mut orders) = mpsc::channel(1);
    let (tell, _) = mpsc::channel(1);
    let why = super::attend(site, &guest, leash, line, &mut orders, &tell).await;
    let made = disk.join(PLACE);
    if !made.join(crate::init::IMAGES_MARK).is_file() {
        bail!("the import ended with `{why}`; its words are in `{}`", home.join("console.log").display());
    }
    let aside = ready.with_extension(format!("{}", std::process::id()));
    tool::run(Command::new("cp").arg("-al").arg(&made).arg(&aside))
        .or_else(|_| tool::run(Command::new("cp").arg("-a").arg("--remove-destination").arg(&made).arg(&aside)))?;
    if std::fs::rename(&aside, ready).is_err() {
        std::fs::remove_dir_all(&aside).context("remove a second import")?;
    }
    super::forget(&home)?;
    info!(seconds = began.elapsed().as_secs(), "container images are ready for all guests");
    Ok(())
}

/// Gives a fresh disk its own view of the prepared files.
pub(super) fn give(ready: &Path, disk: &Path) -> Result<()> {
    let place = disk.join(PLACE);
    if place.exists() {
        return Ok(());
    }
    let parent = place.parent().context("place of containerd")?;
    std::fs::create_dir_all(parent).context("disk directory")?;
    let linked = tool::run(Command::new("cp").arg("-al").arg(ready).arg(&place));
    if linked.is_err() {
        // Another file system: nothing to link to.
        tool::run(Command::new("cp").arg("-a").arg("--remove-destination").arg("-T").arg(ready).arg(&place))?;
    }
    for database in ["io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db"] {
        let (from, to) = (ready.join(database), place.join(database));
        std::fs::remove_file(&to)
            .and_then(|()| std::fs::copy(&from, &to))
            .with_context(|| format!("copy `{database}`"))?;
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn blobs_are_shared_and_databases_are_each_disks_own() {
        let dir = tempfile::tempdir().unwrap();
        let (ready, disk) = (dir.path().join("ready"), dir.path().join("disk"));
        for file in
            ["io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db", "blobs/a"]
        {
            let file = ready.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        give(&ready, &disk).unwrap();
        let place = disk.join(PLACE);
        let inode = |path: PathBuf| std::fs::metadata(path).unwrap().ino();
        assert_eq!(inode(place.join("blobs/a")), inode(ready.join("blobs/a")));
        let database = "io.containerd.metadata.v1.bolt/meta.db";
        assert_ne!(inode(place.join(database)), inode(ready.join(database)));
    }
}
