//! Whatever of a demo is killed, and whenever: after `oxmox demo clean` nothing of it is left.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{NotYet, Tool, Tools, eventually_blocking};

use super::trace::{Demo, Member};

const OXMOX: &str = env!("CARGO_BIN_EXE_oxmox");
/// The demo says something at least as often.
const SILENCE: Duration = Duration::from_mins(5);
/// By then each part runs, on a machine that does other things as well.
const STARTS: Duration = Duration::from_mins(3);

/// The kernel takes namespaces down in its own time once the last process is dead.
const GONE: Duration = Duration::from_secs(5);

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    /// The process that people started.
    Owner,
    /// `unshare`, which holds the namespaces.
    Leash,
    /// The first process in there.
    Init,
    /// The story.
    Story,
    /// The simulator.
    Simulator,
    /// What holds the guests.
    Guests,
    /// Our manager.
    Manager,
}

const VICTIMS: [Victim; 7] =
    [Victim::Owner, Victim::Leash, Victim::Init, Victim::Story, Victim::Simulator, Victim::Guests, Victim::Manager];

impl Victim {
    fn is(self, demo: &Demo, member: &Member) -> bool {
        let words: Vec<&str> = member.words.iter().map(String::as_str).collect();
        let program = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
        match self {
            Self::Owner => member.pid == demo.owner,
            Self::Leash => program == "unshare" && words.contains(&"--kill-child") && !words.contains(&"init"),
            Self::Init => program == "oxmox" && words.get(1) == Some(&"lab-init"),
            Self::Story => program == "oxmox" && words.get(1) == Some(&"demo") && words.contains(&"inside"),
            Self::Simulator => program == "pve-sim",
            Self::Guests => program == "guest-node" && words.get(1) == Some(&"run"),
            Self::Manager => program == "oxmox" && words.get(1) == Some(&"run"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how much is tested, and which sample, is told by the environment")]
fn wanted(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn say(words: &str) {
    let _unheard = writeln!(std::io::stderr(), "{words}");
}

/// Why it cannot be run here.
fn hindrance() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("real nodes need root".into());
    }
    if testkit::leash::inside() {
        return Some("a demo is cleaned up from outside of the lab".into());
    }
    if let Err(missing) = Tools::present(&Tool::ALL) {
        return Some(format!("these tools are not built: {missing:?}; `oxmox demo prepare` builds them"));
    }
    let cache = fs::read_dir(testkit::cache_dir().unwrap()).into_iter().flatten().flatten();
    let images = cache.filter(|entry| entry.file_name().to_string_lossy().starts_with("node-image-"));
    if images.count() == 0 {
        return Some("there is no node image; `oxmox demo prepare` builds it".into());
    }
    let parts = ["pve-sim", "guest-node"].map(|name| Path::new(OXMOX).with_file_name(name));
    let missing = parts.into_iter().find(|path| !path.is_file())?;
    Some(format!("`{}` is not built; `cargo build --bins` builds it", missing.display()))
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // read on when nobody listens any more: the demo must not block on us
            let _unheard = tell.send(line);
        }
    });
    hear
}

/// A demo that ends with the test, however that ends.
struct Running {
    child: Child,
    place: PathBuf,
    dir: PathBuf,
}

impl Running {
    fn start() -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let place = place.canonicalize().unwrap();
        let dir = place.join("demo");
        let log = fs::File::create(place.join("stderr.log")).unwrap();
        let mut demo = Command::new(OXMOX);
        demo.args(["demo", "--dir"]).arg(&dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        Self { child: demo.spawn().unwrap(), place, dir }
    }

    fn clean(&self) -> bool {
        Command::new(OXMOX).args(["demo", "--dir"]).arg(&self.dir).arg("clean").status().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _cleaned = self.clean();
        }
        let _ended = self.child.kill();
        let _ended = self.child.wait();
        let _removed = fs::remove_dir_all(&self.place);
    }
}

fn killed(victim: Victim, after: u64) {
    let what = format!("{victim:?} killed after line {after}");
    say(&what);
    let mut running = Running::start();
    let mut demo = Demo::new(running.child.id(), &running.dir);
    let said = lines(running.child.stdout.take().unwrap());
    let mut heard = Vec::new();
    for _ in 0..after {
        match said.recv_timeout(SILENCE) {
            Ok(line) => heard.push(line),
            // it came to its end before
            Err(_) if running.child.try_wait().unwrap().is_some() => break,
            Err(why) => panic!("{what}: {why}: {heard:#?}"),
        }
    }
    let found = eventually_blocking(STARTS, || {
        if let Some(status) = running.child.try_wait().map_err(NotYet::never)? {
            return Err(NotYet::never(format!("the demo has ended: {status}; {heard:#?}")));
        }
        let members = demo.members();
        members
            .into_iter()
            .find(|member| victim.is(&demo, member))
            .ok_or_else(|| NotYet::because("it does not run yet"))
    });
    let found = found.unwrap_or_else(|why| panic!("{what}: {why}"));
    let pid = i32::try_from(found.pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::KILL).unwrap();

    assert!(running.clean(), "{what}: it cannot be cleaned up");
    // it has nothing left to hold
    running.child.wait().unwrap();
    let gone = eventually_blocking(GONE, || {
        let left = demo.left();
        if left.is_empty() { Ok(()) } else { Err(NotYet::because(left.join("\n"))) }
    });
    gone.unwrap_or_else(|why| panic!("{what}: {why}"));
}

#[test]
fn whatever_of_a_demo_is_killed_clean_leaves_nothing() {
    const DAY: u64 = 86_400;
    if let Some(why) = hindrance() {
        say(&format!("SKIPPED whatever_of_a_demo_is_killed_clean_leaves_nothing: {why}"));
        return;
    }
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / DAY;
    let seed = wanted("OXMOX_SEED").unwrap_or(today);
    say(&format!("whatever_of_a_demo_is_killed_clean_leaves_nothing: OXMOX_SEED={seed}"));
    // neighbouring seeds choose another victim and another moment
    let count = u64::try_from(VICTIMS.len()).unwrap();
    if wanted("OXMOX_FULL") == Some(1) {
        for (number, victim) in (0..).zip(VICTIMS) {
            for part in [2, 12, 30] {
                killed(victim, part + (seed + number * 5) % 11);
            }
        }
    } else {
        let victim = VICTIMS[usize::try_from(seed % count).unwrap()];
        killed(victim, 1 + seed / count % 12);
    }
}
