//! Volume descriptors: the label, and where the directory trees begin.

use super::SECTOR;
use super::directory::{self, PATH_TABLE_LENGTH};
use super::number::{both16, both32};

/// All that both descriptors tell.
pub(super) struct Volume<'a> {
    /// Up to 16 characters, which both descriptors have room for.
    pub(super) label: &'a str,
    /// Size of the whole image.
    pub(super) sectors: u32,
}

/// Where a directory tree lies.
#[derive(Clone, Copy)]
pub(super) struct Tree {
    pub(super) path_table_le: u32,
    pub(super) path_table_be: u32,
    pub(super) root: u32,
}

/// Says that names are UCS-2 with all characters allowed (level 3).
const JOLIET_ESCAPE: &[u8; 3] = b"%/E";
/// 2000-01-01 00:00:00 UTC: any date that never changes would do.
const CREATED: &[u8; 17] = b"2000010100000000\0";
const NO_DATE: &[u8; 17] = b"0000000000000000\0";

impl Volume<'_> {
    /// The descriptor that every reader begins with.
    pub(super) fn plain(&self, tree: &Tree) -> Vec<u8> {
        self.descriptor(1, tree, [0; 32], |text, length| {
            let mut padded = text.as_bytes().to_vec();
            padded.resize(length, b' ');
            padded
        })
    }

    /// The descriptor of the Joliet tree: texts are UCS-2, big endian.
    pub(super) fn joliet(&self, tree: &Tree) -> Vec<u8> {
        let mut escapes = [0; 32];
        escapes[..JOLIET_ESCAPE.len()].copy_from_slice(JOLIET_ESCAPE);
        self.descriptor(2, tree, escapes, |text, length| {
            let spaces = std::iter::repeat(u16::from(b' '));
            text.encode_utf16().chain(spaces).take(length / 2).flat_map(u16::to_be_bytes).collect()
        })
    }

    fn descriptor(&self, kind: u8, tree: &Tree, escapes: [u8; 32], text: impl Fn(&str, usize) -> Vec<u8>) -> Vec<u8> {
        // Texts of odd length end in a byte that belongs to no UCS-2 character.
        let name = |length: usize| {
            let mut name = text("", length);
            name.resize(length, 0);
            name
        };
        let mut out = Vec::with_capacity(SECTOR);
        out.extend([kind]);
        out.extend(b"CD001\x01\0");
        out.extend(text("", 32)); // system
        out.extend(text(self.label, 32));
        out.extend([0; 8]);
        out.extend(both32(self.sectors));
        out.extend(escapes);
        out.extend(both16(1)); // one volume in the set
        out.extend(both16(1)); // and this is the first
        out.extend(both16(2048)); // sector size
        out.extend(both32(PATH_TABLE_LENGTH));
        out.extend(tree.path_table_le.to_le_bytes());
        out.extend([0; 4]);
        out.extend(tree.path_table_be.to_be_bytes());
        out.extend([0; 4]);
        out.extend(directory::root(tree.root));
        for length in [128, 128, 128, 128] {
            out.extend(text("", length)); // volume set, publisher, preparer, application
        }
        for length in [37, 37, 37] {
            out.extend(name(length)); // copyright, abstract, bibliography
        }
        out.extend(CREATED);
        out.extend(CREATED); // modified
        out.extend(NO_DATE); // never expires
        out.extend(NO_DATE); // in force already
        out.extend([1, 0]);
        out.resize(SECTOR, 0);
        out
    }
}

/// The descriptor after the last one.
pub(super) fn end() -> [u8; 7] {
    *b"\xffCD001\x01"
}
