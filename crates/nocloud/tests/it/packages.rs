//! Debian packages for a test to run from, unpacked below the cache and never installed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::room::program;

/// The package and what it needs and the machine hasn't, unpacked; or why that can't be had.
pub(crate) fn unpacked(cache: &Path, package: &str) -> Result<PathBuf, String> {
    for tool in ["apt-get", "dpkg"] {
        program(tool).ok_or(format!("no {tool}, so {package} can't be fetched"))?;
    }
    // One test fetches, the others wait for it.
    fs::create_dir_all(cache).map_err(|err| err.to_string())?;
    let lock = cache.join(format!(".{package}.lock"));
    let lock = File::create(lock).map_err(|err| err.to_string())?;
    lock.lock().map_err(|err| err.to_string())?;
    match there(cache, package) {
        Some(root) => Ok(root),
        None => fetched(cache, package),
    }
}

fn there(cache: &Path, package: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(cache).ok()?.filter_map(Result::ok);
    let start = format!("{package}-");
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&start));
    named.map(|entry| entry.path()).max_by_key(|path| fs::metadata(path).and_then(|about| about.modified()).ok())
}

fn fetched(cache: &Path, package: &str) -> Result<PathBuf, String> {
    let building = cache.join(format!(".{package}.building"));
    match fs::remove_dir_all(&building) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err.to_string()),
        _ => fs::create_dir_all(building.join("root")).map_err(|err| err.to_string())?,
    }

    let options = ["install", "--print-uris", "-y", "-qq", "--no-install-recommends"];
    let listed = out(apt().args(options).arg(package))?;
    // Each line: 'address' file size hash
    let files: Vec<_> = listed.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let packages = files.iter().filter_map(|file| file.split('_').next());
    let version = files
        .iter()
        .find_map(|file| file.strip_prefix(package)?.strip_prefix('_')?.split('_').next())
        .ok_or(format!("apt offers no {package}, or it is installed"))?;
    out(apt().args(["-qq", "download"]).args(packages).current_dir(&building))?;
    for entry in fs::read_dir(&building).map_err(|err| err.to_string())?.filter_map(Result::ok) {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            out(Command::new("dpkg").arg("-x").arg(entry.path()).arg(building.join("root")))?;
        }
    }
    let root = cache.join(format!("{package}-{}", version.replace("%3a", ".")));
    fs::rename(building.join("root"), &root).map_err(|err| err.to_string())?;
    drop(fs::remove_dir_all(&building));
    Ok(root)
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("LC_ALL", "C").args(["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20"]);
    if is_root() {
        apt.args(["-o", "APT::Sandbox::User=root"]);
    }
    apt
}

fn out(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.output().map_err(|err| format!("{name}: {err}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&out.stderr);
    Err(format!("{name}: {}", words.lines().next().unwrap_or("failed without a word")))
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}
