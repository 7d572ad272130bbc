//! The import table, read out of ARCHITECTURE.md.
//!
//! Assumes: a Markdown table under a heading that starts with `## The import table`, with four columns: crate, may
//! import, only for tests or behind a feature, must not see. Names stand in backticks; other words are for people.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

const HEADING: &str = "## The import table";

/// One line of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) name: String,
    pub(super) imports: BTreeSet<String>,
    /// For tests, or behind a feature.
    pub(super) sometimes: BTreeSet<String>,
    pub(super) must_not_see: BTreeSet<String>,
}

pub(super) fn rooms(text: &str) -> Result<Vec<Room>> {
    let rooms: Vec<Room> = text
        .lines()
        .skip_while(|line| !line.starts_with(HEADING))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(room)
        .collect();
    ensure!(!rooms.is_empty(), "find a table below `{HEADING}` in ARCHITECTURE.md");
    Ok(rooms)
}

fn room(line: &str) -> Option<Room> {
    let mut cells = line.strip_prefix('|')?.split('|');
    let mut cell = || Some(names(cells.next()?));
    let name = cell()?.into_iter().next()?;
    Some(Room { name, imports: cell()?, sometimes: cell()?, must_not_see: cell()? })
}

/// The words in backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    const TEXT: &str = "## The import table\nwords\n\n| crate | may import | sometimes | not |\n|---|---|---|---|\n\
        | `pve` | `pve-types` | tests: `pve-sim` | `kube` |\n\n## The laws\n| `x` | – | – | – |\n";

    #[test]
    fn names_stand_in_backticks_below_the_heading() {
        let rooms = rooms(TEXT).unwrap();
        let one = |name: &str| BTreeSet::from([name.to_owned()]);
        let pve = Room {
            name: "pve".to_owned(),
            imports: one("pve-types"),
            sometimes: one("pve-sim"),
            must_not_see: one("kube"),
        };
        assert_eq!(rooms, [pve]);
    }

    #[test]
    fn a_document_without_a_table_is_an_error() {
        assert!(rooms("## The laws\n").is_err());
    }
}
