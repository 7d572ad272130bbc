//! A reader of ISO 9660 written from the other side, so that writer and reader can't share a
//! mistake. It is strict: whatever the format says twice has to agree.

use std::collections::BTreeMap;

const SECTOR: usize = 2048;

/// A volume as two kinds of readers see it.
pub(crate) struct Volume {
    pub(crate) label: String,
    pub(crate) joliet_label: String,
    /// Files by their Rock Ridge names.
    pub(crate) rock_ridge: BTreeMap<String, Vec<u8>>,
    /// Files by their Joliet names.
    pub(crate) joliet: BTreeMap<String, Vec<u8>>,
    /// Names that readers see which know neither.
    pub(crate) plain: Vec<String>,
}

pub(crate) fn read(image: &[u8]) -> Volume {
    assert_eq!(image.len() % SECTOR, 0, "whole sectors");
    let primary = descriptor(image, 16, 1);
    let joliet = descriptor(image, 17, 2);
    descriptor(image, 18, 255);
    assert_eq!(&joliet[88..91], b"%/E", "UCS-2 level 3");
    assert_eq!(joliet[7], 0, "no unregistered escape sequences");
    for each in [primary, joliet] {
        assert_eq!(both32(&each[80..]) as usize * SECTOR, image.len(), "volume size");
        assert_eq!(both16(&each[128..]), 2048, "sector size");
        path_tables_lead_to_the_root(image, each);
    }
    let found = records(image, &primary[156..190]);
    let rock_ridge = found.iter().map(|record| (rock_ridge_name(record), contents(image, record)));
    let rock_ridge = rock_ridge.collect();
    let plain = found.iter().map(|record| text(name(record))).collect();
    let found = records(image, &joliet[156..190]);
    let joliet_files = found.iter().map(|record| (ucs2(name(record)), contents(image, record)));
    Volume {
        label: text(&primary[40..72]),
        joliet_label: ucs2(&joliet[40..72]),
        rock_ridge,
        joliet: joliet_files.collect(),
        plain,
    }
}

fn descriptor(image: &[u8], sector: usize, kind: u8) -> &[u8] {
    let found = &image[sector * SECTOR..][..SECTOR];
    assert_eq!(found[0], kind, "descriptor in sector {sector}");
    assert_eq!(&found[1..7], b"CD001\x01");
    found
}

fn path_tables_lead_to_the_root(image: &[u8], descriptor: &[u8]) {
    let root = both32(&descriptor[158..]);
    assert_eq!(both32(&descriptor[132..]), 10, "a path table of one entry");
    let table = |sector: u32| &image[sector as usize * SECTOR..][..10];
    let little = table(u32::from_le_bytes(four(&descriptor[140..])));
    let big = table(u32::from_be_bytes(four(&descriptor[148..])));
    assert_eq!(u32::from_le_bytes(four(&little[2..])), root);
    assert_eq!(u32::from_be_bytes(four(&big[2..])), root);
    assert_eq!((&little[..2], &little[6..]), (&[1, 0][..], &[1, 0, 0, 0][..]));
    assert_eq!((&big[..2], &big[6..]), (&[1, 0][..], &[0, 1, 0, 0][..]));
}

/// Records of the files in a root directory; itself and its parent are checked and left out.
fn records<'a>(image: &'a [u8], root: &[u8]) -> Vec<&'a [u8]> {
    let directory = extent(image, root);
    let mut rest = directory;
    let mut found = Vec::new();
    while rest.first().is_some_and(|length| *length != 0) {
        let (record, more) = rest.split_at(usize::from(rest[0]));
        assert_eq!(record.len() % 2, 0, "records begin at even places");
        found.push(record);
        rest = more;
    }
    let files = found.split_off(2);
    for (itself, id) in found.into_iter().zip([0, 1]) {
        assert_eq!(name(itself), [id]);
        assert_eq!(itself[25], 2, "a directory");
        assert_eq!(extent(image, itself), directory);
    }
    assert!(files.iter().map(|record| name(record)).is_sorted(), "sorted by name");
    files
}

fn name(record: &[u8]) -> &[u8] {
    &record[33..][..usize::from(record[32])]
}

fn contents(image: &[u8], record: &[u8]) -> Vec<u8> {
    assert_eq!(record[25], 0, "a plain file in one piece");
    extent(image, record).to_vec()
}

fn extent<'a>(image: &'a [u8], record: &[u8]) -> &'a [u8] {
    let (sector, length) = (both32(&record[2..]), both32(&record[10..]));
    &image[sector as usize * SECTOR..][..length as usize]
}

fn rock_ridge_name(record: &[u8]) -> String {
    let after_name = (33 + usize::from(record[32])).next_multiple_of(2);
    let mut rest = &record[after_name..];
    let mut found = None;
    let mut mode = None;
    while rest.len() >= 4 {
        let (field, others) = rest.split_at(usize::from(rest[2]));
        assert_eq!(field[3], 1, "version of a field");
        match &field[..2] {
            b"NM" => found = Some(text(&field[5..])),
            b"PX" => mode = Some(both32(&field[4..])),
            _ => {}
        }
        rest = others;
    }
    assert_eq!(mode, Some(0o100_400), "secrets are for root");
    found.expect("a name in Rock Ridge")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned()
}

fn ucs2(bytes: &[u8]) -> String {
    let units = bytes.chunks(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
    String::from_utf16(&units.collect::<Vec<_>>()).unwrap().trim_end().to_owned()
}

fn both16(bytes: &[u8]) -> u16 {
    let little = u16::from_le_bytes([bytes[0], bytes[1]]);
    assert_eq!(little, u16::from_be_bytes([bytes[2], bytes[3]]), "both byte orders");
    little
}

fn both32(bytes: &[u8]) -> u32 {
    let little = u32::from_le_bytes(four(bytes));
    assert_eq!(little, u32::from_be_bytes(four(&bytes[4..])), "both byte orders");
    little
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes[..4].try_into().unwrap()
}
