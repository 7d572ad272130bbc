//! The guest hook, from the side of the program that attaches.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use crate::client::World;

struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    async fn attach(world: &World) -> Self {
        let stream = world.door_stream("GET", "/sim/guests/events", "").await;
        Self(BufReader::new(stream).lines())
    }

    /// The next event; heads and chunk lengths are passed over.
    async fn next(&mut self) -> Value {
        loop {
            let line = self.0.next_line().await.unwrap().expect("the stream never ends");
            if let Ok(event @ Value::Object(_)) = serde_json::from_str::<Value>(&line) {
                return event;
            }
        }
    }
}

async fn running(world: &World) -> (Events, String) {
    world.cloned("101").await;
    let mut events = Events::attach(world).await;
    assert_eq!(events.next().await, json!({"event": "attached", "running": []}));
    assert_eq!(world.task("POST", "/nodes/pve1/qemu/101/status/start", &[]).await, "OK");
    let on = events.next().await;
    assert_eq!(on["event"], "power-on");
    let run = on["guest"]["run"].as_str().unwrap().to_owned();
    (events, run)
}

#[tokio::test]
async fn a_program_sees_power_on_with_all_it_needs_and_is_alone() {
    let world = World::quick().await;
    world.cloned("101").await;
    let mut events = Events::attach(&world).await;
    events.next().await;
    assert_eq!(world.door("GET", "/sim/guests/events", "").await.0, 409);
    assert_eq!(world.task("POST", "/nodes/pve1/qemu/101/status/start", &[]).await, "OK");
    let guest = events.next().await["guest"].clone();
    assert_eq!((&guest["vmid"], &guest["run"], &guest["node"]), (&json!(101), &json!("101-1"), &json!("pve1")));
    assert_eq!((&guest["cores"], &guest["memory"], &guest["agent"]), (&json!(2), &json!(2048), &json!(true)));
    assert_eq!(guest["drives"][0]["size"], 8u64 << 30);
    let nic = &guest["nics"][0];
    assert_eq!(
        (&nic["key"], &nic["model"], &nic["bridge"], &nic["tag"]),
        (&json!("net0"), &json!("virtio"), &json!("vmbr0"), &json!(null))
    );
}

#[tokio::test]
async fn a_stop_waits_until_the_guest_says_that_it_ended() {
    let world = World::quick().await;
    let (mut events, run) = running(&world).await;
    let upid = world.call("POST", "/nodes/pve1/qemu/101/status/stop", &[]).await.data();
    assert_eq!(events.next().await, json!({"event": "power-off", "vmid": 101, "run": run}));
    let path = format!("/nodes/pve1/tasks/{}/status", crate::client::percent(upid.as_str().unwrap()));
    assert_eq!(world.get(&path).await["status"], "running");
    let off = json!({"run": "101-0", "why": "told to"}).to_string();
    assert_eq!(world.door("POST", "/sim/guests/101/off", &off).await.0, 409, "another run");
    let off = json!({"run": run, "why": "told to"}).to_string();
    assert_eq!(world.door("POST", "/sim/guests/101/off", &off).await.0, 200);
    assert_eq!(world.wait(upid.as_str().unwrap()).await, "OK");
    assert_eq!(world.get("/nodes/pve1/qemu/101/status/current").await["status"], "stopped");
}

#[tokio::test]
async fn a_shutdown_that_the_guest_ignores_runs_into_its_timeout() {
    let world = World::quick().await;
    let (mut events, run) = running(&world).await;
    let exit = world.task("POST", "/nodes/pve1/qemu/101/status/shutdown", &[("timeout", "1")]).await;
    assert_eq!(exit, "VM quit/powerdown failed - got timeout");
    assert_eq!(events.next().await, json!({"event": "shutdown", "vmid": 101, "run": run}));
}

#[tokio::test]
async fn an_agent_call_reaches_the_guest_and_its_answer_the_caller() {
    let world = World::quick().await;
    let (mut events, run) = running(&world).await;
    let path = "/nodes/pve1/qemu/101/agent/get-host-name";
    assert_eq!(world.call("GET", path, &[]).await.refusal().1, "QEMU guest agent is not running");
    let up = json!({"run": run, "up": true}).to_string();
    assert_eq!(world.door("POST", "/sim/guests/101/agent", &up).await.0, 200);
    let asked = world.call("GET", path, &[]);
    let answered = async {
        let call = events.next().await;
        assert_eq!((&call["event"], &call["command"]), (&json!("agent-call"), &json!("guest-get-host-name")));
        let path = format!("/sim/guests/agent-calls/{}", call["call"].as_str().unwrap());
        assert_eq!(world.door("POST", &path, r#"{"return": {"host-name": "w-0"}}"#).await.0, 200);
        assert_eq!(world.door("POST", &path, r#"{"return": {}}"#).await.0, 409, "answered already");
    };
    let (answer, ()) = tokio::join!(asked, answered);
    assert_eq!(answer.data(), json!({"result": {"host-name": "w-0"}}));
}

#[tokio::test]
async fn a_command_runs_in_the_guest_and_its_output_is_decoded() {
    let world = World::quick().await;
    let (mut events, run) = running(&world).await;
    world.door("POST", "/sim/guests/101/agent", &json!({"run": run, "up": true}).to_string()).await;
    let status = world.call("GET", "/nodes/pve1/qemu/101/agent/exec-status", &[("pid", "7")]);
    let answered = async {
        let call = events.next().await;
        assert_eq!(call["arguments"], json!({"pid": 7}));
        let path = format!("/sim/guests/agent-calls/{}", call["call"].as_str().unwrap());
        let body = r#"{"return": {"exited": true, "exitcode": 0, "out-data": "aGVsbG8K"}}"#;
        world.door("POST", &path, body).await;
    };
    let (answer, ()) = tokio::join!(status, answered);
    assert_eq!(answer.data(), json!({"exited": 1, "exitcode": 0, "out-data": "hello\n", "out-truncated": 0}));
}

#[tokio::test]
async fn a_vm_that_is_destroyed_is_forgotten() {
    let world = World::quick().await;
    world.cloned("101").await;
    let mut events = Events::attach(&world).await;
    events.next().await;
    assert_eq!(world.task("DELETE", "/nodes/pve1/qemu/101", &[("purge", "1")]).await, "OK");
    assert_eq!(events.next().await, json!({"event": "destroyed", "vmid": 101}));
}

#[tokio::test]
async fn the_bytes_of_an_uploaded_iso_are_served_and_a_blank_disk_has_none() {
    let world = World::quick().await;
    let body = "--B\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--B\r\nContent-Disposition: \
                form-data; name=\"filename\"; filename=\"u.iso\"\r\n\r\nuser-data\r\n--B--\r\n";
    let head = format!(
        "POST /api2/json/nodes/pve1/storage/shared/upload HTTP/1.1\r\nHost: x\r\n{}Content-Type: multipart/form-data; \
         boundary=B\r\nContent-Length: {}\r\n\r\n",
        world.token(),
        body.len()
    );
    let upid = world.raw(&head, body.as_bytes()).await.unwrap().data();
    assert_eq!(world.wait(upid.as_str().unwrap()).await, "OK");
    world.cloned("101").await;
    world.call("PUT", "/nodes/pve1/qemu/101/config", &[("ide0", "shared:iso/u.iso,media=cdrom")]).await.data();
    let mut stream = world.door_stream("GET", "/sim/guests/101/drives/ide0/content", "").await;
    assert_eq!(crate::client::read(&mut stream).await.unwrap().text, "user-data");
    assert_eq!(world.door("GET", "/sim/guests/101/drives/scsi0/content", "").await.0, 404);
}
