//! The bytes of uploaded volumes: in memory, or as files in a directory.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;

use super::storage::Volume;

/// Where the bytes are.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    memory: HashMap<String, Bytes>,
    dir: Option<PathBuf>,
}

fn key(volume: &Volume) -> String {
    let node = volume.node.as_deref().unwrap_or("shared");
    format!("{node}/{}/{}", volume.storage, volume.name)
}

impl Contents {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { memory: HashMap::new(), dir }
    }

    pub(crate) fn put(&mut self, volume: &Volume, bytes: Bytes) -> std::io::Result<()> {
        let Some(dir) = &self.dir else {
            self.memory.insert(key(volume), bytes);
            return Ok(());
        };
        let file = dir.join(key(volume));
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, bytes)
    }

    /// None where nothing was ever written.
    pub(crate) fn get(&self, volume: &Volume) -> Option<Bytes> {
        match &self.dir {
            Some(dir) => std::fs::read(dir.join(key(volume))).ok().map(Bytes::from),
            None => self.memory.get(&key(volume)).cloned(),
        }
    }

    /// One volume gets the bytes of another, if that has any.
    pub(crate) fn copy(&mut self, from: &Volume, to: &Volume) {
        if let Some(bytes) = self.get(from) {
            // What can't be written isn't there, as on a disk that is full.
            let _ = self.put(to, bytes);
        }
    }

    pub(crate) fn remove(&mut self, volume: &Volume) {
        self.memory.remove(&key(volume));
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_file(dir.join(key(volume)));
        }
    }
}
