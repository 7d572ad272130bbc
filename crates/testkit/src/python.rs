//! A Python with packages from PyPI, made once in the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};

use crate::cache::cache_dir;

/// One at a time makes the environment.
static MAKING: Mutex<()> = Mutex::new(());

/// A Python that has these packages (`name==version`) and runs `import`; the error says why there is none.
pub fn python(packages: &[&str], import: &str) -> Result<PathBuf> {
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let place = cache_dir()?.join("py");
    let python = place.join("bin/python");
    let does = |python: &Path, args: &[&str]| {
        Command::new(python).args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if does(&python, &["-c", import]) {
        return Ok(python);
    }
    let directory = place.to_string_lossy();
    ensure!(
        does(&python, &["-c", ""]) || does(Path::new("python3"), &["-m", "venv", &directory]),
        "no python3 with venv"
    );
    let install: Vec<&str> = ["-m", "pip", "install", "-q"].iter().chain(packages).copied().collect();
    ensure!(does(&python, &install) && does(&python, &["-c", import]), "pip can't install {packages:?}");
    Ok(python)
}
