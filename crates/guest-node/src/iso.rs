//! Reads files out of an ISO 9660 image in user space (a kernel may lack the file system).
//!
//! Promises: the volume label and the root directory's files, by their Joliet or Rock Ridge names where there are any;
//! garbage is an error, never a panic. Assumes small images that fit in memory, as cloud-init drives are.

use std::collections::BTreeMap;

use thiserror::Error;

const SECTOR: usize = 2048;

/// Why an image could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// No volume descriptor where one has to be.
    #[error("not an ISO 9660 image")]
    NotIso,
    /// An extent points outside the image.
    #[error("ISO image ends before `{0}` does")]
    Short(String),
}

/// A volume's label, and the files of its root directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Volume {
    /// The label, without padding.
    pub label: String,
    /// File contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Reads the volume.
pub fn read(image: &[u8]) -> Result<Volume, Error> {
    let mut label = None;
    let mut root = None;
    let mut joliet = None;
    for number in 16.. {
        let sector = image.get(number * SECTOR..(number + 1) * SECTOR).ok_or(Error::NotIso)?;
        if &sector[1..6] != b"CD001" {
            return Err(Error::NotIso);
        }
        match sector[0] {
            1 => {
                label = Some(String::from_utf8_lossy(&sector[40..72]).trim_end_matches([' ', '\0']).to_owned());
                root = Some(sector[156..190].to_vec());
            }
            2 if matches!(&sector[88..91], b"%/@" | b"%/C" | b"%/E") => joliet = Some(sector[156..190].to_vec()),
            255 => break,
            _ => {}
        }
    }
    let label = label.ok_or(Error::NotIso)?;
    let (record, names) = match joliet {
        Some(record) => (record, Names::Joliet),
        None => (root.ok_or(Error::NotIso)?, Names::Plain),
    };
    let directory = extent(image, &record, "the root directory")?;
    let mut files = BTreeMap::new();
    let mut at = 0;
    while at < directory.len() {
        let length = usize::from(directory[at]);
        if length == 0 {
            // Records do not cross sectors: the rest of this one is padding.
            at = (at / SECTOR + 1) * SECTOR;
            continue;
        }
        let Some(record) = directory.get(at..at + length).filter(|record| record.len() > 33) else {
            return Err(Error::Short("a directory record".to_owned()));
        };
        at += length;
        let is_directory = record[25] & 2 != 0;
        if !is_directory && let Some(name) = name(record, names) {
            let bytes = extent(image, record, &name)?.to_vec();
            files.insert(name, bytes);
        }
    }
    Ok(Volume { label, files })
}

#[derive(Clone, Copy)]
enum Names {
    Joliet,
    Plain,
}

fn name(record: &[u8], names: Names) -> Option<String> {
    let length = usize::from(record[32]);
    let raw = record.get(33..33 + length)?;
    let name = match names {
        Names::Joliet => {
            let units: Vec<u16> = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        Names::Plain => {
            // The name is padded to an even length; system use (Rock Ridge) follows.
            let system_use = record.get(33 + length + usize::from(length % 2 == 0)..).unwrap_or_default();
            rock_ridge(system_use).unwrap_or_else(|| String::from_utf8_lossy(raw).to_lowercase())
        }
    };
    let name = name.split(';').next()?.trim_end_matches('.').to_owned();
    (!name.is_empty()).then_some(name)
}

/// The `NM` entries of a record's system use area.
fn rock_ridge(mut area: &[u8]) -> Option<String> {
    let mut name = String::new();
    while let [a, b, length, _, ..] = *area {
        let length = usize::from(length);
        let entry = area.get(..length).filter(|entry| entry.len() >= 4)?;
        if [a, b] == *b"NM" {
            name.push_str(&String::from_utf8_lossy(entry.get(5..)?));
        }
        area = &area[length..];
    }
    (!name.is_empty()).then_some(name)
}

fn extent<'a>(image: &'a [u8], record: &[u8], what: &str) -> Result<&'a [u8], Error> {
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = record.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let found = || {
        let start = number(2)?.checked_mul(SECTOR)?;
        image.get(start..start.checked_add(number(10)?)?)
    };
    found().ok_or_else(|| Error::Short(what.to_owned()))
}

#[cfg(test)]
pub(crate) mod test {
    use super::*;

    fn record(name: &[u8], sector: u32, size: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&sector.to_le_bytes());
        record[10..14].copy_from_slice(&size.to_le_bytes());
        record[25] = flags;
        record[32] = u8::try_from(name.len()).unwrap();
        record.extend(name);
        if name.len().is_multiple_of(2) {
            record.push(0);
        }
        record.extend(system_use);
        if record.len() % 2 == 1 {
            record.push(0);
        }
        record[0] = u8::try_from(record.len()).unwrap();
        record
    }

    /// A NoCloud volume with this user data of five bytes.
    pub(crate) fn seed() -> Vec<u8> {
        let name: Vec<u8> = "user-data".encode_utf16().flat_map(u16::to_be_bytes).collect();
        image(true, &record(&name, 20, 5, 0, &[]))
    }

    /// Sector 16 primary, 17 Joliet or nothing, 18 end, 19 root directory, 20 file.
    fn image(joliet: bool, entry: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 21 * SECTOR];
        for (number, kind) in [(16, 1), (17, if joliet { 2 } else { 3 }), (18, 255)] {
            let sector = &mut image[number * SECTOR..(number + 1) * SECTOR];
            sector[0] = kind;
            sector[1..6].copy_from_slice(b"CD001");
            if kind == 1 {
                sector[40..72].copy_from_slice(b"cidata                          ");
            }
            if kind == 2 {
                sector[88..91].copy_from_slice(b"%/E");
            }
            let root = record(&[0], 19, 2048, 2, &[]);
            sector[156..156 + root.len()].copy_from_slice(&root);
        }
        let mut directory = record(&[0], 19, 2048, 2, &[]);
        directory.extend(entry);
        image[19 * SECTOR..19 * SECTOR + directory.len()].copy_from_slice(&directory);
        image[20 * SECTOR..20 * SECTOR + 5].copy_from_slice(b"hello");
        image
    }

    #[test]
    fn joliet_names_are_read() {
        let name: Vec<u8> = "user-data;1".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let volume = read(&image(true, &record(&name, 20, 5, 0, &[]))).unwrap();
        assert_eq!(volume.label, "cidata");
        assert_eq!(volume.files["user-data"], b"hello");
    }

    #[test]
    fn rock_ridge_names_win_over_plain_ones() {
        let system_use = [&b"NM"[..], &[14, 1, 0], b"meta-data"].concat();
        let volume = read(&image(false, &record(b"META_DAT.;1", 20, 5, 0, &system_use))).unwrap();
        assert_eq!(volume.files["meta-data"], b"hello");
        let volume = read(&image(false, &record(b"META.;1", 20, 5, 0, &[]))).unwrap();
        assert_eq!(volume.files["meta"], b"hello");
    }

    #[test]
    fn garbage_is_an_error() {
        assert_eq!(read(b"short"), Err(Error::NotIso));
        assert_eq!(read(&vec![0; 40_000]), Err(Error::NotIso));
        let outside = read(&image(false, &record(b"A.;1", 900, 5, 0, &[])));
        assert_eq!(outside, Err(Error::Short("a".to_owned())));
    }
}
