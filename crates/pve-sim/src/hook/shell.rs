//! What `guest-exec` plays in a guest of paper: a few commands, and `sh -c` of them.
//!
//! Promises to start nothing. A script that it can't play says so on its standard output and ends well.

use std::fmt::Write as _;

use crate::state::guest::Process;

/// What a script says that is not played.
const NOT_PLAYED: &str = "a guest of paper does not run this\n";

/// Commands that the guest has, played or not.
const PRESENT: &[&str] =
    &["busybox", "dd", "df", "dmesg", "hostname", "ip", "lsblk", "mount", "readlink", "systemctl", "umount"];

/// The guest in which a command is played.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inside<'a> {
    /// What the command is given to read.
    pub(crate) input: &'a str,
    pub(crate) disks: &'a [String],
    /// Programs that it does not have.
    pub(crate) lacks: &'a [String],
}

/// Plays a command; none if the guest has no such program. `until` is the seconds it takes.
pub(crate) fn run(program: &str, words: &[&str], inside: Inside<'_>) -> Option<Process> {
    let name = program
        .strip_prefix("/bin/")
        .or_else(|| program.strip_prefix("/usr/bin/"))
        .or_else(|| program.strip_prefix("/sbin/"))
        .unwrap_or(program);
    if name == "sh" || name == "bash" {
        return Some(match words {
            ["-c" | "-lc", script, ..] => self::script(script, inside),
            _ => Process::default(),
        });
    }
    builtin(name, words, inside).or_else(|| PRESENT.contains(&name).then(not_played))
}

fn not_played() -> Process {
    Process { out: NOT_PLAYED.to_owned(), ..Process::default() }
}

fn builtin(name: &str, words: &[&str], inside: Inside<'_>) -> Option<Process> {
    if inside.lacks.iter().any(|lacked| lacked == name) {
        return None;
    }
    let Inside { input, disks, .. } = inside;
    let says = |out: String| Process { out, ..Process::default() };
    Some(match (name, words) {
        ("busybox", [applet, rest @ ..]) => return builtin(applet, rest, inside),
        ("true" | "sync", _) => Process::default(),
        ("false", _) => Process { code: 1, ..Process::default() },
        ("echo", ["-n", rest @ ..]) => says(rest.join(" ")),
        ("echo", rest) => says(format!("{}\n", rest.join(" "))),
        ("printf", [format, ..]) => says(unescaped(format)),
        ("cat", []) => says(input.to_owned()),
        ("cat", [path]) => match known_file(path) {
            Some(text) => says(text.to_owned()),
            None => Process { err: format!("cat: {path}: No such file or directory\n"), code: 1, ..Process::default() },
        },
        // A guest of paper has booted when it answers, whatever its cloud-init was to do.
        ("cloud-init", ["status", ..]) => says("status: done\n".to_owned()),
        ("sleep", [seconds]) => Process { until: seconds.parse().unwrap_or_default(), ..Process::default() },
        ("ls", ["/sys/block"]) => says(disks.join("\n") + if disks.is_empty() { "" } else { "\n" }),
        ("uname", ["-r"]) => says("6.8.0-generic\n".to_owned()),
        ("uname", _) => says("Linux\n".to_owned()),
        ("whoami", _) => says("root\n".to_owned()),
        ("id", ["-u"]) => says("0\n".to_owned()),
        ("ls" | "uptime" | "date", _) => not_played(),
        _ => return None,
    })
}

/// Files that every guest has.
pub(crate) fn known_file(path: &str) -> Option<&'static str> {
    Some(match path {
        "/etc/os-release" => {
            "PRETTY_NAME=\"Ubuntu 24.04 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n"
        }
        "/etc/hostname" => "paper\n",
        "/proc/uptime" => "100.00 90.00\n",
        _ => return None,
    })
}

/// Commands in a row, as far as they are played.
fn script(text: &str, inside: Inside<'_>) -> Process {
    if text.contains(['$', '`', '|', '&', '(', '*', '<', '\n']) && !text.contains(">&2") {
        return not_played();
    }
    let mut all = Process::default();
    for command in text.split(';').map(str::trim).filter(|c| !c.is_empty()) {
        let (command, to_err) = command.strip_suffix(">&2").map_or((command, false), |c| (c.trim(), true));
        let Some(words) = words(command) else { return not_played() };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let [name, rest @ ..] = words.as_slice() else { continue };
        if *name == "exit" {
            all.code = rest.first().and_then(|c| c.parse().ok()).unwrap_or(all.code);
            return all;
        }
        let Some(process) = builtin(name, rest, inside) else {
            if PRESENT.contains(name) {
                return not_played();
            }
            let _ = writeln!(all.err, "sh: 1: {name}: not found");
            all.code = 127;
            continue;
        };
        if to_err {
            all.err.push_str(&process.out);
        } else {
            all.out.push_str(&process.out);
        }
        all.err.push_str(&process.err);
        all.code = process.code;
        all.until += process.until;
    }
    all
}

/// Words as a shell splits them; none for what it would treat in another way.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut out, mut word, mut quote, mut inside) = (Vec::new(), String::new(), None, false);
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => (quote, inside) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if inside {
                    out.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (None, '>' | '{' | '[') => return None,
            (_, c) => {
                word.push(c);
                inside = true;
            }
        }
    }
    if inside {
        out.push(word);
    }
    quote.is_none().then_some(out)
}

/// `\n`, `\t`, `\\` and octal escapes; a byte above 127 stays a character of its number.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
        if digits > 0 {
            let number = u32::from_str_radix(&rest[..digits], 8).unwrap_or_default() & 0xff;
            out.extend(char::from_u32(number));
            rest = &rest[digits..];
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        out.push(match c {
            'n' => '\n',
            't' => '\t',
            other => other,
        });
        rest = &rest[c.len_utf8()..];
    }
    out + rest
}

/// The bytes of what was printed: Latin-1 where an escape made a byte, UTF-8 else.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let high = text.chars().any(|c| (0x80..=0xff).contains(&u32::from(c)));
    if high && text.chars().all(|c| u32::from(c) <= 0xff) {
        return text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    }
    text.as_bytes().to_vec()
}

#[cfg(test)]
mod test {
    use super::*;

    fn sh(text: &str) -> Process {
        let disks = ["sda".to_owned(), "sdb".to_owned()];
        run("sh", &["-c", text], Inside { disks: &disks, ..Inside::default() }).unwrap()
    }

    #[test]
    fn a_script_speaks_on_both_streams_and_ends_with_its_code() {
        let process = sh("echo one; echo 'two  x' >&2; exit 4; echo never");
        assert_eq!((process.out.as_str(), process.err.as_str(), process.code), ("one\n", "two  x\n", 4));
    }

    #[test]
    fn a_program_that_the_guest_lacks_cannot_be_started_but_a_script_that_names_it_ends_with_127() {
        assert!(run("/no/such", &[], Inside::default()).is_none());
        assert!(run("echo hello", &[], Inside::default()).is_none(), "a line is not a program");
        assert_eq!(sh("nosuch").code, 127);
    }

    #[test]
    fn cloud_init_is_done_when_the_guest_answers() {
        let process = run("cloud-init", &["status", "--wait"], Inside::default()).unwrap();
        assert_eq!((process.out.as_str(), process.code), ("status: done\n", 0));
        assert_eq!(sh("cloud-init status --wait").code, 0);
    }

    #[test]
    fn a_program_that_is_said_to_lack_is_not_there_by_itself_nor_in_a_script() {
        let lacks = ["cloud-init".to_owned()];
        let inside = Inside { lacks: &lacks, ..Inside::default() };
        assert!(run("cloud-init", &["status"], inside).is_none());
        assert_eq!(run("/bin/sh", &["-c", "cloud-init status --wait"], inside).unwrap().code, 127);
    }

    #[test]
    fn the_disks_that_qemu_has_are_those_that_the_guest_lists() {
        assert_eq!(sh("ls /sys/block").out, "sda\nsdb\n");
        assert_eq!(bytes(&sh("printf 'a\\377'").out), [b'a', 0xff]);
    }
}
