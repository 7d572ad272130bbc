//! Parameters of a StorageClass, as docs/reference/csi.md has them.

use std::collections::BTreeMap;

/// Keys of the sidecars, which never reach the driver.
const SECRETS: [&str; 6] =
    ["provisioner", "controller-publish", "node-stage", "node-publish", "controller-expand", "node-expand"];
const KEYS: [&str; 12] = [
    "storage",
    "storageFormat",
    "csi.storage.k8s.io/fstype",
    "cache",
    "aio",
    "ssd",
    "iothread",
    "backup",
    "diskIOPS",
    "diskMBps",
    "blockSize",
    "inodeSize",
];

/// What is wrong with these.
pub(super) fn troubles(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let mut all: Vec<String> = parameters.iter().filter_map(|(key, value)| trouble(key, value)).collect();
    if parameters.get("storage").is_none_or(String::is_empty) {
        all.push("`storage` is missing".to_owned());
    }
    all
}

fn trouble(key: &str, value: &str) -> Option<String> {
    let one_of = |words: &[&str]| {
        (!words.contains(&value)).then(|| format!("`{key}: {value}` is not one of {}", words.join(", ")))
    };
    match key {
        "storage" => None,
        "storageFormat" => one_of(&["raw", "qcow2"]),
        "csi.storage.k8s.io/fstype" => one_of(&["ext4", "xfs"]),
        "cache" => one_of(&["none", "directsync", "writethrough", "writeback", "unsafe"]),
        "aio" => one_of(&["native", "threads", "io_uring"]),
        "ssd" | "iothread" | "backup" => one_of(&["true", "false", "1", "0", "yes", "no", "on", "off"]),
        "diskIOPS" | "diskMBps" | "blockSize" | "inodeSize" => {
            let number = value.parse::<u32>().is_ok_and(|number| number > 0);
            (!number).then(|| format!("`{key}: {value}` is no whole number above 0"))
        }
        "replicate" if ["false", "0", "no", "off"].contains(&value) => None,
        "replicate" | "replicateSchedule" | "replicateZones" => {
            Some(format!("`{key}` asks for replication, which the driver refuses"))
        }
        _ if of_a_sidecar(key) => None,
        _ => Some(format!("no parameter is called `{key}`; there are {}", KEYS.join(", "))),
    }
}

fn of_a_sidecar(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("csi.storage.k8s.io/") else { return false };
    SECRETS.iter().any(|secret| {
        let end = rest.strip_prefix(secret).and_then(|end| end.strip_prefix("-secret-"));
        matches!(end, Some("name" | "namespace"))
    })
}

#[cfg(test)]
mod test {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Vec<String> {
        troubles(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_class_that_the_driver_takes_has_no_trouble() {
        let class = [
            ("storage", "data"),
            ("storageFormat", "qcow2"),
            ("csi.storage.k8s.io/fstype", "xfs"),
            ("csi.storage.k8s.io/node-stage-secret-name", "keys"),
            ("ssd", "true"),
            ("diskIOPS", "4000"),
            ("replicate", "false"),
        ];
        assert_eq!(of(&class), Vec::<String>::new());
    }

    #[test]
    fn what_the_driver_refuses_is_named() {
        for (key, value) in [
            ("Storage", "data"),
            ("csi.storage.k8s.io/secret", "x"),
            ("storageFormat", "vmdk"),
            ("csi.storage.k8s.io/fstype", "btrfs"),
            ("ssd", "maybe"),
            ("blockSize", "4k"),
            ("replicate", "true"),
            ("cache", "on"),
        ] {
            let troubles = of(&[("storage", "data"), (key, value)]);
            assert!(troubles.len() == 1 && troubles[0].contains(&format!("`{key}")), "{key}: {troubles:?}");
        }
        assert_eq!(of(&[]), ["`storage` is missing"]);
    }
}
