//! In front of runc: a nested cgroup tree has no controllers, so limits are dropped; device rules are kept, because
//! without them no pod can open a block device.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub(super) fn front(arguments: &[String]) -> Result<ExitCode> {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("update") {
        return Ok(ExitCode::SUCCESS);
    }
    if has("create") || has("run") {
        let file = bundle(arguments).join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).context("container configuration")?)?;
        lighten(&mut config);
        fs::write(&file, config.to_string()).context("container configuration")?;
    }
    super::become_real("runc", arguments)
}

fn bundle(arguments: &[String]) -> PathBuf {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--bundle" || word == "-b" {
            return words.next().map(PathBuf::from).unwrap_or_default();
        }
        if let Some(path) = word.strip_prefix("--bundle=") {
            return Path::new(path).to_owned();
        }
    }
    PathBuf::from(".")
}

fn lighten(config: &mut Value) {
    let resources = config["linux"]["resources"].take();
    let devices = &resources["devices"];
    config["linux"]["resources"] = if devices.is_array() { json!({"devices": devices}) } else { json!({}) };
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn limits_go_and_device_rules_stay() {
        let mut config = json!({"linux": {"resources": {"memory": {"limit": 1}, "devices": [{"allow": false}]}}});
        lighten(&mut config);
        assert_eq!(config, json!({"linux": {"resources": {"devices": [{"allow": false}]}}}));
    }

    #[test]
    fn the_bundle_is_found_in_each_of_its_spellings() {
        for words in [&["create", "--bundle", "/b", "id"][..], &["run", "-b", "/b"], &["create", "--bundle=/b"]] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(bundle(&words), Path::new("/b"));
        }
    }
}
