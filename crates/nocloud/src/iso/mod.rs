//! Writes an ISO 9660 image of a few small files in its root directory.
//!
//! It promises: two directories over the same file contents, one with Rock Ridge names (what
//! Linux prefers) and one with Joliet names (what Windows, and many small readers, know), each
//! name exactly as given, without a version number; nothing in it depends on the day or the
//! machine.
//!
//! It assumes: the names are ours, so that each directory fits into one sector, and the files
//! come in the order of both of their names, in which a directory has to be.
//!
//! Why not a crate: the maintained one stamps directories with the clock's time, and wants a
//! dozen others.
//!
//! | sector | what |
//! |---|---|
//! | 0..16 | nothing; for boot loaders |
//! | 16, 17, 18 | volume descriptors: plain, Joliet, end |
//! | 19, 20 | path tables of the plain tree, little and big endian |
//! | 21, 22 | path tables of the Joliet tree |
//! | 23, 24 | plain root directory with Rock Ridge fields, and what didn't fit |
//! | 25 | Joliet root directory |
//! | 26.. | the files, each from a sector of its own on |

mod directory;
mod number;
mod rock_ridge;
mod volume;

use number::small;
use volume::{Tree, Volume};

/// The unit of all places and sizes in an image.
const SECTOR: usize = 2048;

const PLAIN: Tree = Tree { path_table_le: 19, path_table_be: 20, root: 23 };
const JOLIET: Tree = Tree { path_table_le: 21, path_table_be: 22, root: 25 };
/// Rock Ridge fields of the root directory that its record has no room for.
const CONTINUATION: u32 = 24;
const FIRST_FILE: u32 = 26;

/// One file to be written.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    /// Up to eight letters, digits and underscores for readers that know neither extension.
    pub(crate) short: &'static str,
    /// Its real name.
    pub(crate) name: &'static str,
    /// What is in it.
    pub(crate) bytes: &'a [u8],
}

/// Where a file lies.
#[derive(Clone, Copy)]
struct Extent {
    sector: u32,
    length: u32,
}

/// A file that has its place.
#[derive(Clone, Copy)]
struct Placed<'a> {
    file: File<'a>,
    at: Extent,
}

/// The image of a volume with these files.
pub(crate) fn image<const N: usize>(label: &str, files: [File<'_>; N]) -> Vec<u8> {
    let mut next = FIRST_FILE;
    let files = files.map(|file| {
        let at = Extent { sector: next, length: small(file.bytes.len()) };
        next += sectors(file.bytes.len());
        Placed { file, at }
    });
    let volume = Volume { label, sectors: next };

    let mut image = vec![0; 16 * SECTOR];
    sector(&mut image, &volume.plain(&PLAIN));
    sector(&mut image, &volume.joliet(&JOLIET));
    sector(&mut image, &volume::end());
    for tree in [PLAIN, JOLIET] {
        sector(&mut image, &directory::path_table(tree.root.to_le_bytes(), 1u16.to_le_bytes()));
        sector(&mut image, &directory::path_table(tree.root.to_be_bytes(), 1u16.to_be_bytes()));
    }
    sector(&mut image, &directory::plain(PLAIN.root, &files));
    sector(&mut image, &rock_ridge::continuation());
    sector(&mut image, &directory::joliet(JOLIET.root, &files));
    for Placed { file, .. } in files {
        sector(&mut image, file.bytes);
    }
    image
}

/// Adds bytes and fills up their last sector.
fn sector(image: &mut Vec<u8>, bytes: &[u8]) {
    image.extend_from_slice(bytes);
    image.resize(image.len().next_multiple_of(SECTOR), 0);
}

fn sectors(length: usize) -> u32 {
    small(length.div_ceil(SECTOR))
}
