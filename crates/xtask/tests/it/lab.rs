//! The leash, pulled from outside. As root only: everybody else is told so by the command itself.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use testkit::{NotYet, eventually_blocking};

const LIMIT: Duration = Duration::from_secs(30);

/// A cache of its own, so that no test cleans up another's leash.
struct World {
    cache: PathBuf,
}

impl World {
    fn new(test: &str) -> Option<Self> {
        let root = fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0);
        if !root || testkit::leash::inside() {
            eprintln!("SKIPPED {test}: makes namespaces, so it runs as root and outside of the lab only");
            return None;
        }
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&cache).unwrap();
        Some(Self { cache })
    }

    fn xtask(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).env("OXMOX_CACHE", &self.cache).stdin(Stdio::null());
        command
    }

    fn lab(&self, script: &str) -> Output {
        self.xtask(&["lab", "--", "sh", "-c", script]).output().unwrap()
    }

    /// A lab whose command has said that it is there.
    fn long_lab(&self, script: &str) -> Child {
        let up = self.cache.join("up");
        let script = format!("echo up > {}; {script}", up.display());
        let child = self
            .xtask(&["lab", "--", "sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually_blocking(LIMIT, || if up.exists() { Ok(()) } else { Err(NotYet::because("not up")) }).unwrap();
        child
    }

    fn states(&self) -> usize {
        fs::read_dir(self.cache.join("leash")).map_or(0, Iterator::count)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.cache);
    }
}

fn cgroup_of(owner: u32) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?;
    Some(Path::new(mount).join(format!("oxmox-{owner}"))).filter(|path| path.exists())
}

fn processes_that_say(words: &str) -> usize {
    let ours = std::process::id().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| entry.file_name().to_string_lossy() != ours)
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.windows(words.len()).any(|bytes| bytes == words.as_bytes()))
        .count()
}

fn kill(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_lab_has_loopback_and_no_other_link_and_no_route() {
    let Some(world) = World::new("no-way-out") else { return };
    let output = world.lab("ls /sys/class/net; ip -o route; ip -6 -o route show default; echo lab=$OXMOX_LAB; echo $$");
    assert!(output.status.success(), "{output:?}");
    let words: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(words[..2], ["lo", "lab=1"], "{words:?}");
    assert!(words[2].parse::<u32>().unwrap() < 50, "a PID namespace of its own: {words:?}");
    assert_eq!(words.len(), 3, "{words:?}");
}

#[test]
fn it_has_a_directory_that_goes_away_with_it() {
    let Some(world) = World::new("directory") else { return };
    let output = world.lab("echo $OXMOX_LAB_DIR; touch $OXMOX_LAB_DIR/something");
    let dir = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert!(dir.starts_with(&world.cache) && !dir.exists(), "{}", dir.display());
}

#[test]
fn what_an_owner_left_that_died_early_is_removed() {
    let Some(world) = World::new("died-early") else { return };
    let mut dead = Command::new("true").spawn().unwrap();
    let pid = dead.id();
    dead.wait().unwrap();
    fs::create_dir_all(world.cache.join("leash").join(pid.to_string())).unwrap();
    assert!(world.xtask(&["clean"]).status().unwrap().success());
    assert_eq!(world.states(), 0);
}

#[test]
fn its_exit_code_is_the_commands() {
    let Some(world) = World::new("exit-code") else { return };
    assert_eq!(world.lab("exit 7").status.code(), Some(7));
    assert_eq!(world.lab("kill -9 $$").status.code(), Some(137));
}

#[test]
fn orphans_in_it_are_reaped_and_end_with_it() {
    let Some(world) = World::new("orphans") else { return };
    let output = world.lab("(setsid sleep 7331 &); (sleep 0.05 &); sleep 0.3; ps -o stat= -A | grep -c Z");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{output:?}");
    assert_eq!(processes_that_say("7331\0"), 0);
}

#[test]
fn sigterm_lets_the_command_answer() {
    let Some(world) = World::new("sigterm") else { return };
    let mut child = world.long_lab("trap 'exit 42' TERM; while :; do sleep 0.05; done");
    kill(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(42));
    assert_eq!(cgroup_of(child.id()), None);
    assert_eq!(world.states(), 0);
}

#[test]
fn killing_its_owner_ends_everything_and_the_next_clean_removes_the_rest() {
    let Some(world) = World::new("killed") else { return };
    let mut child = world.long_lab("(setsid sleep 7332 &); exec sleep 7332");
    assert!(processes_that_say("7332\0") >= 2);
    let owner = child.id();
    kill(owner, "-KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    eventually_blocking(LIMIT, || match processes_that_say("7332\0") {
        0 => Ok(()),
        some => Err(NotYet::because(format!("{some} processes still live"))),
    })
    .unwrap();
    assert_eq!(world.states(), 2, "a state file and a directory tell the next run");
    let output = world.xtask(&["clean"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.states(), 0);
    assert_eq!(cgroup_of(owner), None);
}

#[test]
fn clean_leaves_a_living_lab_alone_unless_told_all() {
    let Some(world) = World::new("living") else { return };
    let mut child = world.long_lab("exec sleep 7333");
    assert!(world.xtask(&["clean"]).status().unwrap().success());
    assert_eq!(child.try_wait().unwrap(), None);
    let entered = world.xtask(&["enter", "--", "sh", "-c", "ls /sys/class/net"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&entered.stdout), "lo\n", "{entered:?}");
    assert!(world.xtask(&["clean", "--all"]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(cgroup_of(child.id()), None);
    assert_eq!(world.states(), 0);
}
