//! The hook's protocol, against a simulator of thirty lines and a leash of ten.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path as UrlPath;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::image::NodeImage;

/// Speaks a guest's line: born, up, then what it is told.
const LEASH: &str = r#"#!/bin/sh
echo '{"said":"born","pid":1}'
read order
echo '{"said":"userland"}'
read order || exit 0
echo '{"said":"ended","why":"asked inside"}'
"#;

struct Simulator {
    url: String,
    events: mpsc::UnboundedSender<Value>,
    posts: mpsc::UnboundedReceiver<(String, Value)>,
}

async fn simulator() -> Simulator {
    let (events, hear) = mpsc::unbounded_channel::<Value>();
    let (tell, posts) = mpsc::unbounded_channel();
    let hear = std::sync::Arc::new(tokio::sync::Mutex::new(Some(hear)));
    let stream = move || async move {
        let hear = hear.lock().await.take().expect("one program at a time may attach");
        let lines = futures::stream::unfold(hear, |mut hear| async move {
            let event = hear.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("{event}\n"))), hear))
        });
        Body::from_stream(lines)
    };
    let content = |UrlPath((_, key)): UrlPath<(u32, String)>| async move {
        if key == "ide0" { Ok(crate::iso::test::seed()) } else { Err(StatusCode::NOT_FOUND) }
    };
    let hook = move |uri: Uri, body: Bytes| async move {
        let body = serde_json::from_slice(&body).expect("JSON");
        tell.send((uri.path().to_owned(), body)).expect("the test listens");
    };
    let app = Router::new()
        .route("/sim/guests/events", get(stream))
        .route("/sim/guests/{vmid}/drives/{key}/content", get(content))
        .fallback(post(hook));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Simulator { url, events, posts }
}

impl Simulator {
    fn says(&self, event: Value) {
        self.events.send(event).expect("attached");
    }

    async fn hears(&mut self) -> (String, Value) {
        tokio::time::timeout(Duration::from_secs(20), self.posts.recv())
            .await
            .expect("an answer in time")
            .expect("open")
    }
}

fn site(dir: &Path) -> Site {
    let image = dir.join("image");
    for directory in ["rootfs/usr", "images"] {
        fs::create_dir_all(image.join(directory)).unwrap();
    }
    for file in ["io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db"] {
        let file = image.join("containerd").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }
    let leash = dir.join("leash");
    fs::write(&leash, LEASH).unwrap();
    fs::set_permissions(&leash, fs::Permissions::from_mode(0o755)).unwrap();
    Site::new(NodeImage::open(&image).unwrap(), dir.join("state"), String::new(), leash)
}

fn guest(run: &str) -> Value {
    json!({"vmid": 101, "run": run, "uuid": "u", "name": "w-0", "agent": true,
           "drives": [{"key": "scsi0", "media": "disk"}, {"key": "ide2", "media": "cdrom"}, {"key": "ide0", "media": "cdrom"}]})
}

#[tokio::test]
async fn a_guest_lives_as_the_hook_says() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("state/101");
    let mut simulator = simulator().await;
    let hook = Hook::new(&simulator.url).unwrap();
    simulator.says(json!({"event": "attached", "running": []}));
    simulator.says(json!({"event": "power-on", "guest": guest("101-1")}));
    let story = async {
        let up = json!({"run": "101-1", "up": true});
        assert_eq!(simulator.hears().await, ("/sim/guests/101/agent".to_owned(), up));
        assert_eq!(fs::read_to_string(home.join("seed/user-data")).unwrap(), "hello");

        simulator
            .says(json!({"event": "agent-call", "vmid": 101, "run": "101-1", "call": "c7", "command": "guest-dance"}));
        let (path, answer) = simulator.hears().await;
        assert_eq!(path, "/sim/guests/agent-calls/c7");
        assert_eq!(answer["error"]["class"], "CommandNotFound");

        // An order for another power-on than this one is not for us.
        simulator.says(json!({"event": "power-off", "vmid": 101, "run": "101-0"}));
        simulator.says(json!({"event": "shutdown", "vmid": 101, "run": "101-1"}));
        let off = json!({"run": "101-1", "why": "asked inside"});
        assert_eq!(simulator.hears().await, ("/sim/guests/101/off".to_owned(), off));

        simulator.says(json!({"event": "power-on", "guest": guest("101-2")}));
        assert_eq!(simulator.hears().await.1["run"], "101-2");
        simulator.says(json!({"event": "power-off", "vmid": 101, "run": "101-2"}));
        let off = json!({"run": "101-2", "why": "powered off"});
        assert_eq!(simulator.hears().await, ("/sim/guests/101/off".to_owned(), off));
        assert!(home.join("disk").is_dir(), "a disk outlives a power-on");

        simulator.says(json!({"event": "power-on", "guest": guest("101-3")}));
        assert_eq!(simulator.hears().await.1["run"], "101-3");
        simulator.says(json!({"event": "destroyed", "vmid": 101}));
        assert_eq!(simulator.hears().await.0, "/sim/guests/101/off");
        simulator.says(json!({"event": "power-on", "guest": guest("101-4")}));
        assert_eq!(simulator.hears().await.1["run"], "101-4");
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let story = async {
        story.await;
        stop.send(()).unwrap();
    };
    let run = run(site(dir.path()), hook, async {
        // A story that ended badly ends this as well.
        let _ = stopped.await;
    });
    let (outcome, ()) = tokio::join!(run, story);
    outcome.unwrap();
    assert_eq!(simulator.hears().await.0, "/sim/guests/101/off");
}
