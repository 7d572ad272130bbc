//! One builder at a time in one cache directory, across processes. The kernel frees the lock of whoever dies.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Held while it lives.
#[must_use = "dropped, the lock is free"]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it; calls `waiting` once when another holds it.
    pub(crate) fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("make `{}`", dir.display()))?;
        }
        let file = File::create(path).with_context(|| format!("open lock `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().with_context(|| format!("wait for lock `{}`", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock `{}`", path.display()));
            }
        }
        Ok(Self { _file: file })
    }
}
