//! Directory records and path tables.

use super::number::{both16, both32, byte};
use super::{Extent, Placed, SECTOR, rock_ridge};

/// One entry of 8 bytes, a one-byte name and its padding.
pub(super) const PATH_TABLE_LENGTH: u32 = 10;

/// 2000-01-01 00:00:00 UTC, years since 1900 first; any date that never changes would do.
pub(super) const DATE: [u8; 7] = [100, 1, 1, 0, 0, 0, 0];

const DIRECTORY: u8 = 2;
const PLAIN_FILE: u8 = 0;
/// The names that a directory has for itself and for its parent.
const ITSELF: &[u8] = &[0];
const PARENT: &[u8] = &[1];

/// The root directory for plain readers and for those that know Rock Ridge.
pub(super) fn plain(sector: u32, files: &[Placed<'_>]) -> Vec<u8> {
    let at = directory_at(sector);
    let mut out = record(DIRECTORY, at, ITSELF, &rock_ridge::itself());
    out.extend(record(DIRECTORY, at, PARENT, &rock_ridge::parent()));
    for Placed { file, at } in files {
        let short = format!("{}.;1", file.short);
        out.extend(record(PLAIN_FILE, *at, short.as_bytes(), &rock_ridge::file(file.name)));
    }
    out
}

/// The root directory for readers that know Joliet.
pub(super) fn joliet(sector: u32, files: &[Placed<'_>]) -> Vec<u8> {
    let at = directory_at(sector);
    let mut out = record(DIRECTORY, at, ITSELF, &[]);
    out.extend(record(DIRECTORY, at, PARENT, &[]));
    for Placed { file, at } in files {
        let name: Vec<u8> = file.name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        out.extend(record(PLAIN_FILE, *at, &name, &[]));
    }
    out
}

/// The root directory's record in a volume descriptor.
pub(super) fn root(sector: u32) -> Vec<u8> {
    record(DIRECTORY, directory_at(sector), ITSELF, &[])
}

/// The path table of a tree that is nothing but its root, its numbers in the wanted byte order.
pub(super) fn path_table(root: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let name_length = 1;
    [&[name_length, 0][..], &root, &parent, ITSELF, &[0]].concat()
}

fn directory_at(sector: u32) -> Extent {
    Extent { sector, length: super::small(SECTOR) }
}

fn record(kind: u8, at: Extent, name: &[u8], system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0]; // length, told below; no extended attributes
    out.extend(both32(at.sector));
    out.extend(both32(at.length));
    out.extend(DATE);
    out.extend([kind, 0, 0]); // in one piece
    out.extend(both16(1)); // first volume of the set
    out.push(byte(name.len()));
    out.extend(name);
    pad(&mut out);
    out.extend(system_use);
    pad(&mut out);
    out[0] = byte(out.len());
    out
}

fn pad(record: &mut Vec<u8>) {
    record.resize(record.len().next_multiple_of(2), 0);
}
