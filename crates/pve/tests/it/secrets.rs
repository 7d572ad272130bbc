//! What nobody may read.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};

use pve::{Auth, Client};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::stub::{Reply, SECRET, Stub, config};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_shown_even_at_the_chattiest_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stub = Stub::start(|asked| match asked.call().as_str() {
        "POST /access/ticket" => Reply::data(json!({"ticket": "PVE:tickety", "CSRFPreventionToken": "csrfy"})),
        _ => Reply::fails(500, "no"),
    })
    .await;
    let by_token = config(vec![stub.url()]);
    let mut by_password = by_token.clone();
    by_password.auth = Auth::Password { user: "root@pam".to_owned(), password: "hunter2".to_owned().into() };
    let mut all = format!("{by_token:?}{by_password:?}");
    for config in [by_token, by_password] {
        let client = Client::new(config).unwrap();
        let node = "pve1".parse().unwrap();
        let mut update = pve::ConfigUpdate::default();
        update.set.insert("cipassword".to_owned(), "hunter3".to_owned());
        let error = client.update_config(&node, 101.try_into().unwrap(), &update).await.unwrap_err();
        write!(all, "{client:?}{error}{error:?}").unwrap();
    }
    all.push_str(&String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(all.contains("/nodes/pve1/qemu/101/config"), "the log was on: {all}");
    assert!(all.contains("certificates are not verified"), "the warning was given");
    for secret in [SECRET, "hunter2", "hunter3", "tickety", "csrfy"] {
        assert!(!all.contains(secret), "`{secret}` in: {all}");
    }
}
