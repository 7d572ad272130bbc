//! `docs/pve-sim.md`: each of its programs is the file that our tests run.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The block of this language.
fn block(page: &str, language: &str) -> String {
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```\n").unwrap().0.to_owned()
}

#[test]
fn the_page_shows_the_programs_that_are_tested() {
    let page = read("docs/pve-sim.md");
    for (language, file) in [
        ("sh", "crates/pve-sim/examples/quickstart.sh"),
        ("python", "crates/pve-sim/examples/quickstart.py"),
        ("go", "tools/pve-clients/quickstart/main.go"),
        ("rust", "crates/pve-sim/examples/quickstart.rs"),
    ] {
        assert_eq!(block(&page, language), read(file), "{file}");
    }
}

#[test]
fn the_commands_that_the_page_shows_exist() {
    let page = read("docs/pve-sim.md");
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), pve_sim::scripts::text("answer-lost").unwrap()).unwrap();
    let commands = page.lines().filter_map(|l| l.strip_prefix("$ pve-sim ")).filter(|l| !l.contains('>'));
    let mut seen = 0;
    for line in commands {
        let words = line.replace('\'', "").replace("script.json", script.path().to_str().unwrap());
        let output = Command::new(env!("CARGO_BIN_EXE_pve-sim"))
            .args(words.split(' '))
            .env("PVE_SIM_READY_FILE", "/there/is/none")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // No simulator runs; but clap has understood (its own status is 2).
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        seen += 1;
    }
    assert!(seen >= 6);
}

#[test]
fn the_quick_start_in_shell_runs() {
    for tool in ["curl", "jq"] {
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("SKIPPED the quick start in shell: no {tool}");
            return;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_pve-sim")).parent().unwrap();
    let path = std::env::join_paths(
        [bin.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let output = Command::new("bash")
        .args(["-eu", "-o", "pipefail"])
        .arg(root().join("crates/pve-sim/examples/quickstart.sh"))
        .env("PATH", path)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(r#""name": "from-shell""#), "{said}");
}

#[test]
fn the_quick_start_in_rust_runs() {
    let program = Path::new(env!("CARGO_BIN_EXE_pve-sim")).with_file_name("examples").join("quickstart");
    if !program.exists() {
        eprintln!("SKIPPED the quick start in Rust: examples are not built (`cargo test --test it` builds none)");
        return;
    }
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
