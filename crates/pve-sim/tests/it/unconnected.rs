//! The simulator opens no connection to anybody: here it would be killed for it.
//!
//! A filter of system calls is put on a thread, and the binary that this thread starts inherits it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::{Certificate, Client, Method};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::{Value, json};

/// Numbers of `connect`, `sendto`, `sendmmsg` and `io_uring_setup`.
#[cfg(target_arch = "x86_64")]
const CALLS: [i64; 4] = [42, 44, 307, 425];
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [i64; 4] = [203, 206, 269, 425];

const SIGSYS: i32 = 31;

/// Starts the binary so that it dies of `connect`, and of whatever else sends to an address.
fn leashed(args: Vec<String>) -> Child {
    let start = move || {
        let [connect, sendto, sendmmsg, uring] = CALLS;
        let address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0).unwrap();
        let rules = [
            (connect, vec![]),
            (sendto, vec![SeccompRule::new(vec![address]).unwrap()]),
            (sendmmsg, vec![]),
            (uring, vec![]),
        ];
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let (otherwise, matched) = (SeccompAction::Allow, SeccompAction::KillProcess);
        let filter = SeccompFilter::new(BTreeMap::from(rules), otherwise, matched, arch).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_pve-sim")).args(args).stdout(Stdio::null()).spawn().unwrap()
    };
    std::thread::spawn(start).join().unwrap()
}

/// Killed when a test ends early.
struct Leashed(Child);

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn facts(file: &Path) -> Value {
    loop {
        if let Ok(text) = std::fs::read(file) {
            return serde_json::from_slice(&text).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

/// Calls by `root@pam`.
struct Session {
    http: Client,
    api: String,
    cookie: String,
    csrf: String,
}

impl Session {
    async fn open(facts: &Value) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = Certificate::from_pem(facts["ca"].as_str().unwrap().as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only([ca]).build().unwrap();
        let api = format!("{}/api2/json", facts["url"].as_str().unwrap());
        let login = [("username", "root@pam"), ("password", facts["root_password"].as_str().unwrap())];
        let answer = http.post(format!("{api}/access/ticket")).form(&login).send().await.unwrap();
        let data = answer.json::<Value>().await.unwrap()["data"].take();
        let cookie = format!("PVEAuthCookie={}", crate::client::percent(data["ticket"].as_str().unwrap()));
        Self { http, api, cookie, csrf: data["CSRFPreventionToken"].as_str().unwrap().to_owned() }
    }

    /// The status and the data of an answer.
    async fn call(&self, method: &str, path: &str, form: &Value) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.api));
        request = request.header("cookie", &self.cookie).header("csrfpreventiontoken", &self.csrf);
        if method == Method::POST || method == Method::PUT {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.map_or(Value::Null, |mut body| body["data"].take()))
    }

    async fn wait(&self, upid: &str) {
        let node = upid.split(':').nth(1).unwrap();
        while self.call("GET", &format!("/nodes/{node}/tasks/{upid}/status"), &json!({})).await.1["status"] != "stopped"
        {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_long_session_that_names_many_hosts_connects_to_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sim.json");
    let args = ["--speed", "50", "--ready-file", file.to_str().unwrap()];
    let mut sim = Leashed(leashed(args.map(str::to_owned).to_vec()));
    let session = Session::open(&facts(&file).await).await;
    let node = "/nodes/pve1";
    let iso = json!({"content": "iso", "filename": "a.iso", "url": "http://127.0.0.1:9/a.iso"});
    let calls = [
        ("POST", format!("{node}/storage/local/download-url"), iso),
        ("GET", format!("{node}/query-url-metadata?url=http%3A%2F%2F127.0.0.1%3A9%2Fa.iso"), json!({})),
        ("POST", format!("{node}/storage/local/oci-registry-pull"), json!({"reference": "127.0.0.1:9/a/b:latest"})),
        ("GET", format!("{node}/query-oci-repo-tags?reference=127.0.0.1%3A9%2Fa%2Fb"), json!({})),
        (
            "POST",
            format!("{node}/aplinfo"),
            json!({"storage": "local", "template": "alpine-3.22-default_20250617_amd64.tar.xz"}),
        ),
        ("POST", format!("{node}/apt/update"), json!({})),
        ("GET", format!("{node}/scan/nfs?server=127.0.0.1"), json!({})),
        ("GET", format!("{node}/scan/cifs?server=127.0.0.1"), json!({})),
        ("GET", format!("{node}/scan/pbs?server=127.0.0.1&username=a%40pbs&password=b"), json!({})),
        ("GET", format!("{node}/scan/iscsi?portal=127.0.0.1"), json!({})),
        (
            "POST",
            "/storage".to_owned(),
            json!({"storage": "far", "type": "nfs", "server": "127.0.0.1", "export": "/x"}),
        ),
        ("POST", "/cluster/metrics/server/m".to_owned(), json!({"type": "graphite", "server": "127.0.0.1", "port": 9})),
        (
            "POST",
            "/access/domains".to_owned(),
            json!({"realm": "ad", "type": "ldap", "server1": "127.0.0.1", "base_dn": "dc=a", "user_attr": "uid"}),
        ),
        ("POST", "/access/domains/ad/sync".to_owned(), json!({"scope": "both"})),
        ("POST", "/access/ticket".to_owned(), json!({"username": "somebody@ad", "password": "a"})),
        (
            "POST",
            "/cluster/notifications/endpoints/smtp".to_owned(),
            json!({"name": "s", "server": "127.0.0.1", "from-address": "a@b.c", "mailto": "a@b.c"}),
        ),
        ("POST", "/cluster/notifications/targets/s/test".to_owned(), json!({})),
        ("GET", "/cluster/acme/tos?directory=https%3A%2F%2F127.0.0.1%3A9%2Fdirectory".to_owned(), json!({})),
        (
            "POST",
            "/cluster/acme/account".to_owned(),
            json!({"contact": "a@b.c", "directory": "https://127.0.0.1:9/directory"}),
        ),
        ("POST", format!("{node}/subscription"), json!({})),
        (
            "POST",
            "/cluster/sdn/dns".to_owned(),
            json!({"dns": "d", "type": "powerdns", "url": "http://127.0.0.1:9", "key": "k"}),
        ),
        (
            "POST",
            "/cluster/sdn/ipams".to_owned(),
            json!({"ipam": "i", "type": "netbox", "url": "http://127.0.0.1:9", "token": "t"}),
        ),
        ("POST", format!("{node}/wakeonlan"), json!({})),
        ("POST", format!("{node}/qemu/9000/clone"), json!({"newid": 101})),
        ("POST", format!("{node}/qemu/101/status/start"), json!({})),
        ("POST", format!("{node}/qemu/101/agent/ping"), json!({})),
        ("POST", format!("{node}/qemu/101/vncproxy"), json!({})),
        ("POST", format!("{node}/qemu/101/migrate"), json!({"target": "pve2", "online": 1})),
        ("GET", "/nodes/pve2/qemu/101/status/current".to_owned(), json!({})),
        ("GET", "/cluster/resources".to_owned(), json!({})),
    ];
    let mut done = 0;
    for (method, path, form) in calls {
        let (status, data) = session.call(method, &path, &form).await;
        done += u32::from(status == 200);
        if let Some(upid) = data.as_str().filter(|d| d.starts_with("UPID:")) {
            session.wait(upid).await;
        }
    }
    assert!(done >= 8, "only {done} calls of the session were done");
    assert!(sim.0.try_wait().unwrap().is_none(), "the simulator is dead");
}

#[test]
fn the_filter_kills_who_connects() {
    // The commands for a simulator that runs do connect to it.
    let args = ["fault", "list", "--control", "http://127.0.0.1:9"];
    let status = Leashed(leashed(args.map(str::to_owned).to_vec())).0.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGSYS), "{status}");
}
