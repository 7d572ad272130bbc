//! What is in volumes: bytes in memory, or files in a directory (`--backing`).
//!
//! In a directory every disk is a sparse file of its size and holds the disk's bytes as they are, whatever its format;
//! files that came in are kept as they came. What is quick is done at once. Copies wait for [`Contents::work`], which
//! runs without the world's lock, and whatever comes after them waits behind them. In memory only what came in has
//! bytes, and copies share them.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::storage::Volume;

/// Something to be done with files, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    Make(PathBuf, u64),
    Resize(PathBuf, u64),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
    /// From, to, and the size that the copy has at least.
    Copy(PathBuf, PathBuf, u64),
}

#[derive(Debug, Default)]
struct Inner {
    memory: HashMap<String, Bytes>,
    waiting: VecDeque<Order>,
    /// Orders that waited, and how many of them are done.
    issued: u64,
    done: u64,
}

/// Where the bytes are; clones are the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    dir: Option<Arc<Path>>,
    inner: Arc<Mutex<Inner>>,
}

/// The place of a volume's bytes, below the directory.
fn key(volume: &Volume) -> String {
    let node = volume.node.as_deref().unwrap_or("shared");
    let Volume { storage, name, .. } = volume;
    if !volume.is_disk() {
        return format!("{node}/{storage}/{name}");
    }
    // The names of linked clones begin with their bases: only the last part is the disk's own.
    let file = name.rsplit('/').next().unwrap_or(name);
    format!("{node}/{storage}/images/{}/{file}", volume.vmid.unwrap_or_default())
}

fn kept(volume: &Volume, snapshot: &str) -> String {
    format!("{}@{snapshot}", key(volume))
}

impl Contents {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        // Who is told of the files may be elsewhere.
        let dir = dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        Self { dir: dir.map(Arc::from), inner: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a volume; none where volumes have no files.
    pub(crate) fn file(&self, volume: &Volume) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(key(volume)))
    }

    pub(crate) fn has_files(&self) -> bool {
        self.dir.is_some()
    }

    pub(crate) fn put(&self, volume: &Volume, bytes: Bytes) -> io::Result<()> {
        let Some(file) = self.file(volume) else {
            self.inner().memory.insert(key(volume), bytes);
            return Ok(());
        };
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, bytes)
    }

    /// None where nothing was ever written.
    pub(crate) fn get(&self, volume: &Volume) -> Option<Bytes> {
        match self.file(volume) {
            Some(file) => std::fs::read(file).ok().map(Bytes::from),
            None => self.inner().memory.get(&key(volume)).cloned(),
        }
    }

    /// A new volume: a disk gets its file, unless it has one.
    pub(crate) fn made(&self, volume: &Volume) {
        if let Some(file) = self.file(volume).filter(|_| volume.is_disk()) {
            self.order(Order::Make(file, volume.size));
        }
    }

    /// A volume is another now: its name, its owner, its size.
    pub(crate) fn changed(&self, before: &Volume, after: &Volume) {
        let (from, to) = (key(before), key(after));
        if from != to {
            let moved = self.inner().memory.remove(&from);
            if let Some(bytes) = moved {
                self.inner().memory.insert(to.clone(), bytes);
            }
            if let Some(dir) = &self.dir {
                self.order(Order::Move(dir.join(from), dir.join(&to)));
            }
        }
        if let Some(dir) = self.dir.as_ref().filter(|_| after.is_disk() && before.size != after.size) {
            self.order(Order::Resize(dir.join(to), after.size));
        }
    }

    pub(crate) fn remove(&self, volume: &Volume) {
        self.forget(&key(volume));
    }

    fn forget(&self, key: &str) {
        self.inner().memory.remove(key);
        if let Some(dir) = &self.dir {
            self.order(Order::Remove(dir.join(key)));
        }
    }

    /// What is in one volume is in the other too.
    pub(crate) fn copy(&self, from: &Volume, to: &Volume) {
        self.duplicate(&key(from), &key(to), to.size);
    }

    fn duplicate(&self, from: &str, to: &str, size: u64) {
        let bytes = self.inner().memory.get(from).cloned();
        if let Some(bytes) = bytes {
            self.inner().memory.insert(to.to_owned(), bytes);
        }
        if let Some(dir) = &self.dir {
            self.order(Order::Copy(dir.join(from), dir.join(to), size));
        }
    }

    /// Keeps a volume as it is now.
    pub(crate) fn keep(&self, volume: &Volume, snapshot: &str) {
        self.duplicate(&key(volume), &kept(volume, snapshot), volume.size);
    }

    /// The volume is again what was kept of it.
    pub(crate) fn bring_back(&self, volume: &Volume, snapshot: &str) {
        self.duplicate(&kept(volume, snapshot), &key(volume), volume.size);
    }

    pub(crate) fn drop_kept(&self, volume: &Volume, snapshot: &str) {
        self.forget(&kept(volume, snapshot));
    }

    /// Orders given so far, of those that had to wait.
    pub(crate) fn issued(&self) -> u64 {
        self.inner().issued
    }

    /// Whether the first so many of them are done.
    pub(crate) fn settled(&self, orders: u64) -> bool {
        self.inner().done >= orders
    }

    fn order(&self, order: Order) {
        let mut inner = self.inner();
        if inner.waiting.is_empty() && inner.issued == inner.done && !matches!(order, Order::Copy(..)) {
            drop(inner);
            carry_out(&order);
            return;
        }
        inner.waiting.push_back(order);
        inner.issued += 1;
    }

    /// Does the oldest waiting order; false if there is none. May take its time.
    pub(crate) fn work(&self) -> bool {
        let Some(order) = self.inner().waiting.pop_front() else { return false };
        carry_out(&order);
        self.inner().done += 1;
        true
    }
}

fn carry_out(order: &Order) {
    let result = match order {
        Order::Make(file, size) => make(file, *size),
        Order::Resize(file, size) => OpenOptions::new().write(true).open(file).and_then(|f| f.set_len(*size)),
        Order::Move(from, to) => beside(to).and_then(|()| std::fs::rename(from, to)),
        Order::Remove(file) => std::fs::remove_file(file),
        Order::Copy(from, to, size) => copy(from, to, *size),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(?order, %error, "a volume's file");
        }
        _ => {}
    }
}

/// The folder of a file.
fn beside(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), std::fs::create_dir_all)
}

fn make(file: &Path, size: u64) -> io::Result<()> {
    beside(file)?;
    match OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(new) => new.set_len(size),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = OpenOptions::new().write(true).open(file)?;
            if there.metadata()?.len() < size { there.set_len(size) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

/// Copies a file: as a reference to the same blocks where the file system can, else its data without its holes.
fn copy(from: &Path, to: &Path, size: u64) -> io::Result<()> {
    beside(to)?;
    let mut source = File::open(from)?;
    let part = to.with_added_extension("part");
    let mut target = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&part)?;
    let length = source.metadata()?.len();
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        data(&mut source, &mut target, length)?;
    }
    target.set_len(length.max(size))?;
    std::fs::rename(&part, to)
}

fn data(source: &mut File, target: &mut File, length: u64) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        // Where a file system can't say where data is, all of it is.
        let from = match rustix::fs::seek(&*source, rustix::fs::SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => at,
        };
        let until = rustix::fs::seek(&*source, rustix::fs::SeekFrom::Hole(from)).unwrap_or(length);
        source.seek(SeekFrom::Start(from))?;
        target.seek(SeekFrom::Start(from))?;
        io::copy(&mut io::Read::take(&*source, until - from), target)?;
        at = until.max(from + 1);
    }
    target.flush()
}

#[cfg(test)]
mod test {
    use super::*;

    fn disk(vmid: u32, size: u64) -> Volume {
        Volume {
            storage: "local".to_owned(),
            node: Some("pve1".to_owned()),
            name: format!("{vmid}/vm-{vmid}-disk-0.raw"),
            content: "images".to_owned(),
            format: "raw".to_owned(),
            size,
            vmid: Some(vmid),
            ..Volume::default()
        }
    }

    fn read(contents: &Contents, volume: &Volume, at: usize, length: usize) -> Vec<u8> {
        contents.get(volume).unwrap()[at..at + length].to_vec()
    }

    #[test]
    fn a_disk_is_a_sparse_file_that_grows_moves_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let contents = Contents::new(Some(dir.path().to_owned()));
        let small = disk(300, 64 << 20);
        contents.made(&small);
        let file = contents.file(&small).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 64 << 20);
        let large =
            Volume { size: 128 << 20, vmid: Some(301), name: "301/vm-301-disk-0.raw".to_owned(), ..small.clone() };
        contents.changed(&small, &large);
        assert!(!file.exists());
        assert_eq!(std::fs::metadata(contents.file(&large).unwrap()).unwrap().len(), 128 << 20);
        contents.remove(&large);
        assert!(!contents.file(&large).unwrap().exists());
    }

    #[test]
    fn a_copy_has_the_bytes_of_its_source_even_if_the_source_goes_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let contents = Contents::new(Some(dir.path().to_owned()));
        let (source, target) = (disk(300, 8 << 20), disk(301, 16 << 20));
        contents.made(&source);
        let mut file = OpenOptions::new().write(true).open(contents.file(&source).unwrap()).unwrap();
        file.seek(SeekFrom::Start(5 << 20)).unwrap();
        file.write_all(b"here").unwrap();
        contents.copy(&source, &target);
        contents.remove(&source);
        let orders = contents.issued();
        assert!(!contents.settled(orders));
        while contents.work() {}
        assert!(contents.settled(orders));
        assert_eq!(read(&contents, &target, 5 << 20, 4), b"here");
        assert_eq!(contents.get(&target).unwrap().len(), 16 << 20);
        assert!(contents.get(&source).is_none());
    }

    #[test]
    fn a_rollback_brings_back_what_was_kept() {
        for dir in [None, Some(tempfile::tempdir().unwrap())] {
            let contents = Contents::new(dir.as_ref().map(|d| d.path().to_owned()));
            let volume = disk(300, 4);
            contents.put(&volume, Bytes::from_static(b"old!")).unwrap();
            contents.keep(&volume, "before");
            while contents.work() {}
            contents.put(&volume, Bytes::from_static(b"new!")).unwrap();
            contents.bring_back(&volume, "before");
            contents.drop_kept(&volume, "before");
            while contents.work() {}
            assert_eq!(contents.get(&volume).unwrap(), "old!");
        }
    }
}
