//! Rock Ridge: what POSIX wants to know of a file, in the spare room of directory records.
//!
//! Each field is two letters, its length, a version and its data. The first record says that
//! there are such fields (`SP`) and, too long for the record itself, whose they are (`ER`).

use super::directory::DATE;
use super::number::{both32, byte, small};
use super::{CONTINUATION, SECTOR};

const DIRECTORY_MODE: u32 = 0o040_555;
/// For root only: user data carries join tokens and private keys.
const FILE_MODE: u32 = 0o100_400;

/// Identifier of this edition of Rock Ridge; readers compare it.
const EDITION: &[u8] = b"RRIP_1991A";
const DESCRIPTION: &[u8] = b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
const SOURCE: &[u8] = b"IEEE P1282";

/// Which fields a record has, for readers that want to know beforehand.
const HAS_MODE: u8 = 1;
const HAS_NAME: u8 = 8;
const HAS_DATES: u8 = 128;
/// Modification, access, attribute change: in this order, each in the short form.
const DATES: u8 = 2 | 4 | 8;

/// Fields of a directory's record for itself.
pub(super) fn itself() -> Vec<u8> {
    let mut out = field(*b"SP", &[&[0xbe, 0xef, 0]]);
    out.extend(parent());
    out.extend(field(*b"CE", &[&both32(CONTINUATION), &both32(0), &both32(small(continuation().len()))]));
    out
}

/// Fields of a directory's record for its parent.
pub(super) fn parent() -> Vec<u8> {
    [field(*b"RR", &[&[HAS_MODE | HAS_DATES]]), posix(DIRECTORY_MODE, 2), dates()].concat()
}

/// Fields of a file's record.
pub(super) fn file(name: &str) -> Vec<u8> {
    [
        field(*b"RR", &[&[HAS_MODE | HAS_NAME | HAS_DATES]]),
        field(*b"NM", &[&[0], name.as_bytes()]),
        posix(FILE_MODE, 1),
        dates(),
    ]
    .concat()
}

/// What the root directory's first record had no room for.
pub(super) fn continuation() -> Vec<u8> {
    let lengths = [byte(EDITION.len()), byte(DESCRIPTION.len()), byte(SOURCE.len()), 1];
    let out = field(*b"ER", &[&lengths, EDITION, DESCRIPTION, SOURCE]);
    debug_assert!(out.len() <= SECTOR, "the continuation is one sector");
    out
}

/// Mode and number of links; root's user and group.
fn posix(mode: u32, links: u32) -> Vec<u8> {
    field(*b"PX", &[&both32(mode), &both32(links), &both32(0), &both32(0)])
}

fn dates() -> Vec<u8> {
    field(*b"TF", &[&[DATES], &DATE, &DATE, &DATE])
}

fn field(letters: [u8; 2], data: &[&[u8]]) -> Vec<u8> {
    let data = data.concat();
    let header = [letters[0], letters[1], byte(4 + data.len()), 1];
    [&header[..], &data].concat()
}
