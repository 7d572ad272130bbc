//! What a test owns: a directory, and tools that are there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use testkit::{Tool, Tools, leash};

/// A directory that goes away with the test that passed; a failed test's logs stay.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(test: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir); // of an earlier process of the same number
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs are in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Who is not root cannot have a lab; loopback serves as well for what has no nodes.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

/// Whether there are private namespaces to make networks in, or a word about it.
pub(crate) fn in_lab(test: &str) -> bool {
    if !leash::inside() {
        eprintln!("SKIPPED {test}: not in the lab; run `cargo xtask lab -- cargo test -p testkit`");
    }
    leash::inside()
}

/// The tools, or a word about why this test cannot run here.
pub(crate) fn tools(test: &str, which: &[Tool]) -> Option<Tools> {
    if !leash::inside() && is_root() {
        eprintln!("SKIPPED {test}: root, and not in the lab; run `cargo xtask lab -- cargo test -p testkit`");
        return None;
    }
    // How long each part took stands in a failed test's output; a second test of this process finds it set.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    match Tools::present(which) {
        Ok(tools) => Some(tools),
        Err(missing) => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            eprintln!("SKIPPED {test}: not built: {}; run `cargo xtask tools`", names.join(", "));
            None
        }
    }
}
