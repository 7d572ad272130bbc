//! The recorded server: one node with two cores, three directories, a bridge, two users.

use serde_json::{Value, json};

use super::Plan;

/// The node's name.
pub(super) const NODE: &str = "pve1";

/// Name, path, contents.
const STORAGES: [(&str, &str, &[&str]); 3] = [
    ("local", "/var/lib/vz", &["iso", "vztmpl", "backup", "snippets", "import"]),
    ("data", "/var/lib/data", &["images", "rootdir"]),
    ("data2", "/var/lib/data2", &["images", "rootdir", "backup"]),
];

/// What the recordings hide behind `<root password>` and `<user password>`.
const PASSWORDS: [(&str, &str); 2] = [("root@pam", "rootpass123"), ("k8s@pve", "userpass123")];

/// What containers said there when they were started, for want of systemd.
const NO_SYSTEMD: &str = "command 'systemctl start pve-container@{vmid}' failed: exit code 1";

/// The rule of the control door under which no container starts.
pub(crate) fn no_container_starts() -> Value {
    json!({
        "match": {"method": "POST", "path": "/nodes/*/lxc/*/status/start"},
        "times": 0,
        "then": {"task_fails": NO_SYSTEMD},
    })
}

/// Turns a fresh state into the recorded server's.
pub(super) fn recorded(plan: &mut Plan) {
    let state = &mut plan.state;
    let local = state["storages"]["local"].clone();
    let mut storages = serde_json::Map::new();
    for (id, path, content) in STORAGES {
        let mut storage = local.clone();
        storage["id"] = json!(id);
        storage["path"] = json!(path);
        storage["content"] = json!(content);
        storage["total"] = json!(270_553_174_016_u64);
        storages.insert(id.to_owned(), storage);
    }
    state["storages"] = Value::Object(storages);
    for (key, empty) in [("guests", json!({})), ("pools", json!({})), ("volumes", json!([])), ("published", json!({}))]
    {
        state[key] = empty;
    }
    for node in state["nodes"].as_array_mut().into_iter().flatten() {
        node["cores"] = json!(2);
        node["memory"] = json!(25_276_502_016_u64);
        // Without systemd no daemon of the HA manager ran.
        node["settings"] = json!({"service-pve-ha-crm": "dead", "service-pve-ha-lrm": "dead"});
    }
    let access = &mut state["access"];
    access["acl"] = json!([]);
    if let Some(roles) = access["roles"].as_object_mut() {
        roles.retain(|_, role| role["special"] == json!(true));
    }
    let root = access["users"]["root@pam"].clone();
    let mut users = serde_json::Map::new();
    for (user, password) in PASSWORDS {
        let mut one = root.clone();
        one["password"] = json!(password);
        users.insert(user.to_owned(), one);
        plan.passwords.insert(user.to_owned(), password.to_owned());
    }
    access["users"] = Value::Object(users);
}
