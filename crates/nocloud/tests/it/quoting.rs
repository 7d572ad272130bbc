//! Strings stay strings, whatever they look like to a reader of YAML 1.1 or 1.2.

use std::collections::BTreeMap;

use nocloud::{MetaData, NetworkConfig, Vrf};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::cloud_init;
use crate::fixture;
use crate::room::Room;

/// Each is something else than a string when it stands bare.
const TRICKY: [&str; 34] = [
    "on",
    "off",
    "yes",
    "No",
    "y",
    "n",
    "true",
    "null",
    "~",
    "",
    " ",
    "=",
    "<<",
    "1_000",
    "0123",
    "0x1f",
    "0o17",
    "0b11",
    "1e3",
    "6e5",
    ".5",
    ".inf",
    "-",
    "- a",
    "1:30",
    "52:54:00:12:34:56",
    "2001-01-01",
    "a: b",
    "a #b",
    "'",
    "\"",
    "{{ x }}",
    "*a",
    "\\",
];

fn named(value: &str) -> MetaData {
    MetaData { instance_id: value.into(), hostname: value.into(), ..fixture::meta_data() }
}

fn with_vrf(value: &str) -> NetworkConfig {
    let vrf = Vrf { name: value.into(), interfaces: vec![value.into()], ..Vrf::default() };
    NetworkConfig { nics: Vec::new(), vrfs: vec![vrf] }
}

fn survives(value: &str) {
    let told: BTreeMap<String, String> = serde_saphyr::from_str(&named(value).to_yaml()).unwrap();
    assert_eq!(told["instance-id"], value);
    assert_eq!(told["local-hostname"], value);
}

#[test]
fn strings_that_look_like_something_else_are_read_back_by_yaml_1_2() {
    TRICKY.into_iter().for_each(survives);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_string_is_read_back_by_yaml_1_2(value: String) {
        survives(&value);
    }
}

/// cloud-init reads with PyYAML: all strings at once, as one start of Python takes long.
#[test]
fn any_string_is_read_back_by_cloud_inits_own_yaml() {
    let cloud_init = match cloud_init::find() {
        Ok(found) => found,
        Err(why) => {
            eprintln!("skipped: no cloud-init to ask: {why}");
            return;
        }
    };
    let mut runner = TestRunner::default();
    let mut any = || any::<String>().new_tree(&mut runner).unwrap().current();
    let mut values: Vec<String> = TRICKY.into_iter().map(Into::into).collect();
    values.extend(std::iter::repeat_with(&mut any).take(200));

    let room = Room::new("quoting");
    for (number, value) in values.iter().enumerate() {
        room.write(&format!("files/{number}.meta"), named(value).to_yaml());
        room.write(&format!("files/{number}.net"), with_vrf(value).to_yaml());
        room.write(&format!("files/{number}.want"), value);
    }
    let program = format!(
        "import yaml\n\
         for n in range({}):\n\
         \x20   path = {:?} + '/' + str(n)\n\
         \x20   want = open(path + '.want', encoding='utf-8', newline='').read()\n\
         \x20   meta = yaml.safe_load(open(path + '.meta', 'rb').read())\n\
         \x20   vrfs = yaml.safe_load(open(path + '.net', 'rb').read())['vrfs']\n\
         \x20   assert meta['instance-id'] == meta['local-hostname'] == want, (meta, want)\n\
         \x20   assert list(vrfs) == vrfs[want]['interfaces'] == [want], (vrfs, want)\n",
        values.len(),
        room.path("files"),
    );
    let out = cloud_init.python(&room, &program);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
