//! The peer: `fakepve` from PyPI, in a virtual environment in the cache.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::process::Command;

/// The release that the figures are beside, and what its command line needs.
const PACKAGES: [&str; 2] = ["fakepve==0.5.0", "cryptography"];

/// Where it is; installed if it isn't yet.
pub(super) async fn install() -> Result<PathBuf> {
    let place = testkit::cache_dir()?.join("py-fakepve");
    let program = place.join("bin/fakepve");
    if works(&program).await {
        return Ok(program);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&place)).await?;
    let python = place.join("bin/python");
    run(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(PACKAGES)).await?;
    anyhow::ensure!(works(&program).await, "`{}` does not run", program.display());
    Ok(program)
}

async fn works(program: &Path) -> bool {
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    };
    let mut version = Command::new(program);
    quiet(version.arg("--version"));
    let Some(bin) = program.parent() else { return false };
    let mut import = Command::new(bin.join("python"));
    quiet(import.args(["-c", "import cryptography"]));
    let ok = async |mut command: Command| command.status().await.is_ok_and(|status| status.success());
    ok(version).await && ok(import).await
}

async fn run(command: &mut Command) -> Result<()> {
    let what = format!("{:?}", command.as_std());
    let output = command.output().await.with_context(|| format!("run `{what}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "run `{what}`: {}", said.lines().last().unwrap_or_default());
    Ok(())
}
