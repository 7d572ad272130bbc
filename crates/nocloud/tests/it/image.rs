//! The image: what goes in comes out, under the right names, and nothing else changes.

use std::process::Command;

use nocloud::Seed;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::fixture;
use crate::reader::{self, Volume};
use crate::room::{self, Room};

const NAMES: [&str; 3] = ["meta-data", "network-config", "user-data"];

fn image(user_data: &[u8]) -> Vec<u8> {
    let (meta_data, network) = (fixture::meta_data(), fixture::dual_stack());
    Seed { user_data, meta_data: &meta_data, network: &network }.to_iso()
}

/// Bytes without a pattern that a misplaced sector could repeat.
fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn reads_back(size: usize) {
    let user_data = bytes(size);
    let Volume { rock_ridge, joliet, .. } = reader::read(&image(&user_data));
    assert_eq!(rock_ridge, joliet, "both trees lead to the same files");
    assert!(rock_ridge["user-data"] == user_data, "{size} bytes of user data");
    assert_eq!(rock_ridge["meta-data"], fixture::meta_data().to_yaml().as_bytes());
    assert_eq!(rock_ridge["network-config"], fixture::dual_stack().to_yaml().as_bytes());
}

#[test]
fn files_that_end_at_a_sectors_edge_are_read_back() {
    for size in [0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 199_999, 200_000, 200_704] {
        reads_back(size);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_of_any_size_are_read_back(size in 0..200_000usize) {
        reads_back(size);
    }
}

#[test]
fn names_and_label_are_exactly_what_guests_look_for() {
    let volume = reader::read(&image(b"#cloud-config\n"));
    assert_eq!(volume.label, "cidata");
    assert_eq!(volume.joliet_label, "cidata");
    assert!(volume.rock_ridge.keys().eq(NAMES));
    assert!(volume.joliet.keys().eq(NAMES));
    assert_eq!(volume.plain, ["META_DAT.;1", "NETWORK_.;1", "USER_DAT.;1"]);
}

/// When this fails, the image of an unchanged seed has changed: every running machine's seed
/// would look outdated to whoever compares. Change the digest only when that is meant.
#[test]
fn the_same_seed_is_the_same_image_on_any_day_and_machine() {
    let (meta_data, network) = (fixture::meta_data(), fixture::fixed());
    let seed = Seed { user_data: b"#cloud-config\n", meta_data: &meta_data, network: &network };
    assert_eq!(seed.to_iso(), seed.to_iso());
    insta::assert_snapshot!(hex::encode(Sha256::digest(seed.to_iso())));
}

#[test]
fn isoinfo_reads_what_went_in() {
    let Some(isoinfo) = room::program("isoinfo") else {
        eprintln!("skipped: no isoinfo on this machine; hint: apt install genisoimage");
        return;
    };
    let room = Room::new("isoinfo");
    let file = room.path("seed.iso");
    let ask = |arguments: &[&str]| {
        let out = Command::new(&isoinfo).arg("-i").arg(&file).args(arguments).output().unwrap();
        assert!(out.status.success(), "isoinfo {arguments:?}: {out:?}");
        out.stdout
    };
    for size in [0, 1, 2047, 2048, 2049, 65_537] {
        let user_data = bytes(size);
        std::fs::write(&file, image(&user_data)).unwrap();
        for tree in ["-J", "-R"] {
            assert!(ask(&[tree, "-x", "/user-data"]) == user_data, "{size} bytes with {tree}");
        }
    }
    for tree in ["-J", "-R"] {
        let names = String::from_utf8(ask(&[tree, "-f"])).unwrap();
        assert_eq!(names, "/meta-data\n/network-config\n/user-data\n", "{tree}");
    }
    let about = String::from_utf8(ask(&["-d"])).unwrap();
    for fact in ["Volume id: cidata", "Joliet with UCS level 3", "Rock Ridge signatures"] {
        assert!(about.contains(fact), "{fact} in:\n{about}");
    }
}
