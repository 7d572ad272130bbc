//! The container image of `oxmox`, as its chart's pods run it.
//!
//! Promises: made in seconds out of a binary that changes with every build, so it is no part of the node image: guests
//! find it in a directory beside it ([`crate::machine::Site::more_images`]). Assumes binutils; without `objcopy` the
//! binary goes in with its debugging information.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{NodeImage, container, oci};
use crate::{OXMOX_IMAGE, tool};

/// Writes it, as a tar for `ctr images import`, into a directory that is there; gives the file.
pub fn oxmox(image: &NodeImage, binary: &Path, directory: &Path) -> Result<PathBuf> {
    let lean = directory.join(".oxmox");
    let stripped = tool::run(Command::new("objcopy").arg("--strip-debug").arg(binary).arg(&lean));
    if stripped.is_err() {
        fs::copy(binary, &lean).with_context(|| format!("copy `{}`", binary.display()))?;
    }
    let recipe = container::oxmox(OXMOX_IMAGE, &lean, &image.dir().join("rootfs"))?;
    let file = oci::write(&recipe, directory)?;
    fs::remove_file(&lean).with_context(|| format!("remove `{}`", lean.display()))?;
    Ok(file)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn it_holds_the_binary_and_every_program_that_the_node_plugin_calls() {
        let dir = tempfile::tempdir().unwrap();
        let (image, out) = (dir.path().join("image"), dir.path().join("out"));
        for part in [image.join("rootfs/usr"), image.join("images"), out.clone()] {
            fs::create_dir_all(part).unwrap();
        }
        let needed = ["/usr/sbin/mkfs.xfs", "/usr/sbin/mkfs.ext4", "/usr/sbin/blkid"];
        if let Some(missing) = needed.into_iter().find(|program| !Path::new(program).exists()) {
            eprintln!("SKIPPED it_holds_the_binary_and_every_program: `{missing}` is not on this machine");
            return;
        }
        let image = NodeImage::open(&image).unwrap();
        let file = oxmox(&image, Path::new("/bin/true"), &out).unwrap();
        let all = names(&fs::read(&file).unwrap());
        for program in ["usr/local/bin/oxmox", "usr/sbin/mkfs.xfs", "usr/sbin/xfs_growfs", "usr/bin/umount"] {
            assert!(all.iter().any(|name| name == program), "{program} of {all:?}");
        }
        assert!(all.iter().any(|name| name.contains("libc.so")), "{all:?}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing else stays there");
    }

    /// Names of everything in the one layer of an image.
    fn names(tar: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        for entry in tar::Archive::new(tar).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut blob = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut blob).unwrap();
            // Of the blobs only the layer is a tar: of the others nothing reads.
            let mut layer = tar::Archive::new(&blob[..]);
            let files = layer.entries().unwrap().flatten();
            all.extend(files.map(|file| file.path().unwrap().display().to_string()));
        }
        all
    }
}
