//! `cargo xtask architecture`: the import table of ARCHITECTURE.md against what the crates really import.
//!
//! Promises: a crate that imports what the table does not allow, that the table does not name, or that sees a crate it
//! must not see, is named; so the document cannot drift from the code.
//! Assumes: `cargo` works without a network, as it does once the workspace has been built.

mod table;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use self::table::Room;
use self::workspace::{Import, Member};

/// Compare the import table of ARCHITECTURE.md with what the crates import.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<ExitCode> {
    let drifts = drifts(&root())?;
    if drifts.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("ARCHITECTURE.md and the crates differ:\n  {}\nhint: change one of them", drifts.join("\n  "))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What differs, a line each.
fn drifts(root: &Path) -> Result<Vec<String>> {
    let path = root.join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    let rooms = table::rooms(&text)?;
    let members = workspace::members(root)?;
    let mut drifts = compare(&rooms, &members);
    for room in &rooms {
        let seen = workspace::sees(root, &room.name, &room.must_not_see)?;
        drifts.extend(seen.iter().map(|what| format!("`{}` sees `{what}`, which it must not", room.name)));
    }
    Ok(drifts)
}

fn compare(rooms: &[Room], members: &[Member]) -> Vec<String> {
    let mut drifts = Vec::new();
    for Member { name, imports } in members {
        let Some(room) = rooms.iter().find(|room| room.name == *name) else {
            drifts.push(format!("`{name}` is not in the import table"));
            continue;
        };
        for (what, import) in imports {
            let allowed = match import {
                Import::Always => room.imports.contains(what),
                Import::Sometimes => room.imports.contains(what) || room.sometimes.contains(what),
            };
            if !allowed {
                drifts.push(format!("`{name}` imports `{what}`, which the table does not allow"));
            }
        }
        for what in room.imports.iter().chain(&room.sometimes) {
            if !imports.iter().any(|(imported, _)| imported == what) {
                drifts.push(format!("the table says that `{name}` imports `{what}`, which it does not"));
            }
        }
    }
    for room in rooms {
        if !members.iter().any(|member| member.name == room.name) {
            drifts.push(format!("the table names `{}`, which is no crate", room.name));
        }
    }
    drifts
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_crates_import_what_the_architecture_says() {
        assert_eq!(drifts(&root()).unwrap(), Vec::<String>::new());
    }

    fn room(name: &str, imports: &[&str]) -> Room {
        let imports = imports.iter().map(|&name| name.to_owned()).collect();
        Room { name: name.to_owned(), imports, ..Room::default() }
    }

    fn member(name: &str, imports: &[&str]) -> Member {
        let imports = imports.iter().map(|&name| (name.to_owned(), Import::Always)).collect();
        Member { name: name.to_owned(), imports }
    }

    #[test]
    fn a_forbidden_import_is_named() {
        let drifts = compare(&[room("plan", &["api"])], &[member("plan", &["api", "pve"])]);
        assert_eq!(drifts, ["`plan` imports `pve`, which the table does not allow"]);
    }

    #[test]
    fn an_import_for_tests_does_not_allow_it_elsewhere() {
        let room = Room { sometimes: ["pve-sim".to_owned()].into(), ..room("pve", &[]) };
        assert_eq!(compare(&[room], &[member("pve", &["pve-sim"])]).len(), 1);
    }

    #[test]
    fn neither_a_crate_nor_a_line_of_the_table_stands_alone() {
        let drifts = compare(&[room("old", &[])], &[member("new", &[])]);
        assert_eq!(drifts, ["`new` is not in the import table", "the table names `old`, which is no crate"]);
    }
}
