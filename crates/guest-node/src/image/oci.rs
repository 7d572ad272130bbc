//! Container images out of files: an OCI image layout in a tar, one uncompressed layer, no registry and no daemon.
//!
//! Promises: the same input gives the same digest (times are zero, order is the recipe's). Uncompressed because both
//! making and importing are several times quicker that way, and the file never leaves the machine.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// One image: its full name and what it holds.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
}

/// One path of an image, without a leading slash.
#[derive(Debug)]
pub(super) enum Entry {
    Dir(String, u32),
    File(String, PathBuf),
    Text(String, String, u32),
    Link(String, String),
}

impl Entry {
    /// Where it lies.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Dir(name, _) | Self::File(name, _) | Self::Text(name, _, _) | Self::Link(name, _) => name,
        }
    }
}

/// Writes `DIR/<name with dashes>.tar`.
pub(super) fn write(recipe: &Recipe, dir: &Path) -> Result<PathBuf> {
    let file_name = recipe.name.replace(['/', ':'], "-");
    let context = || format!("write container image `{}`", recipe.name);
    let layer_path = dir.join(format!(".{file_name}.layer"));
    let layer = layer(recipe, &layer_path).with_context(context)?;
    let out = dir.join(format!("{file_name}.tar"));
    layout(recipe, &layer, &layer_path, &out).with_context(context)?;
    std::fs::remove_file(&layer_path).with_context(context)?;
    Ok(out)
}

struct Blob {
    digest: String,
    size: u64,
}

fn layer(recipe: &Recipe, path: &Path) -> Result<Blob> {
    let mut tar = tar::Builder::new(Hashing { inner: File::create(path)?, hash: Sha256::new(), size: 0 });
    for entry in &recipe.entries {
        match entry {
            Entry::Dir(name, mode) => {
                let mut header = header(tar::EntryType::Directory, *mode, 0);
                tar.append_data(&mut header, format!("{name}/"), io::empty())?;
            }
            Entry::File(name, from) => {
                let mut file = File::open(from).with_context(|| format!("open `{}`", from.display()))?;
                let mut header = header(tar::EntryType::Regular, 0o755, file.metadata()?.len());
                tar.append_data(&mut header, name, &mut file)?;
            }
            Entry::Text(name, text, mode) => {
                let mut header = header(tar::EntryType::Regular, *mode, text.len() as u64);
                tar.append_data(&mut header, name, text.as_bytes())?;
            }
            Entry::Link(name, target) => {
                tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), name, target)?;
            }
        }
    }
    let Hashing { mut inner, hash, size } = tar.into_inner()?;
    inner.flush()?;
    Ok(Blob { digest: hex::encode(hash.finalize()), size })
}

fn layout(recipe: &Recipe, layer: &Blob, layer_path: &Path, out: &Path) -> Result<()> {
    let config = json!({
        "architecture": go_arch(), "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": recipe.entrypoint, "Cmd": recipe.command,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &digest(&config), config.len() as u64),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer.digest, layer.size)],
    })
    .to_string();
    let mut top = descriptor("application/vnd.oci.image.manifest.v1+json", &digest(&manifest), manifest.len() as u64);
    top["annotations"] =
        json!({"io.containerd.image.name": recipe.name, "org.opencontainers.image.ref.name": recipe.name});
    let index = json!({"schemaVersion": 2, "manifests": [top]}).to_string();

    let mut tar = tar::Builder::new(File::create(out)?);
    let mut text = |name: &str, text: &str| {
        let mut header = header(tar::EntryType::Regular, 0o644, text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes())
    };
    text("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    text("index.json", &index)?;
    text(&format!("blobs/sha256/{}", digest(&config)), &config)?;
    text(&format!("blobs/sha256/{}", digest(&manifest)), &manifest)?;
    let mut file = File::open(layer_path)?;
    file.rewind()?;
    let mut header = header(tar::EntryType::Regular, 0o644, layer.size);
    tar.append_data(&mut header, format!("blobs/sha256/{}", layer.digest), file.take(layer.size))?;
    tar.into_inner()?.flush()?;
    Ok(())
}

fn descriptor(media: &str, digest: &str, size: u64) -> serde_json::Value {
    json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": size})
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Go's name of this machine's architecture, which is what images are labelled with.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod test {
    use std::collections::BTreeMap;

    use super::*;

    fn recipe(program: &Path) -> Recipe {
        Recipe {
            name: "registry.example/toy:1".to_owned(),
            entries: vec![
                Entry::Dir("tmp".to_owned(), 0o1777),
                Entry::File("bin/toy".to_owned(), program.to_owned()),
                Entry::Link("bin/alias".to_owned(), "toy".to_owned()),
                Entry::Text("etc/passwd".to_owned(), "root:x:0:0::/:/bin/toy\n".to_owned(), 0o644),
            ],
            entrypoint: vec!["/bin/toy".to_owned()],
            command: vec![],
        }
    }

    fn files(tar: impl Read) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(name, bytes);
        }
        files
    }

    #[test]
    fn every_blob_lies_under_its_own_digest_and_the_index_names_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("toy");
        std::fs::write(&program, vec![7; 70_000]).unwrap();
        write(&recipe(&program), dir.path()).unwrap();
        let files = files(File::open(dir.path().join("registry.example-toy-1.tar")).unwrap());
        let mut blobs = 0;
        for (name, bytes) in &files {
            if let Some(digest) = name.strip_prefix("blobs/sha256/") {
                assert_eq!(digest, hex::encode(Sha256::digest(bytes)), "{name}");
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "registry.example/toy:1");
        let manifest = index["manifests"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&files[&format!("blobs/sha256/{manifest}")]).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let layer = self::files(&files[&format!("blobs/sha256/{layer}")][..]);
        assert_eq!(layer["bin/toy"], vec![7; 70_000]);
        assert!(layer.contains_key("bin/alias") && layer.contains_key("etc/passwd"));
    }

    #[test]
    fn the_same_recipe_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("toy");
        std::fs::write(&program, "x").unwrap();
        let out = dir.path().join("registry.example-toy-1.tar");
        write(&recipe(&program), dir.path()).unwrap();
        let first = std::fs::read(&out).unwrap();
        write(&recipe(&program), dir.path()).unwrap();
        assert!(first == std::fs::read(&out).unwrap());
    }
}
