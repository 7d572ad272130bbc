//! Requests with some bytes changed, over TLS and without, at both doors.

use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::dice::Dice;
use super::{assert_no_panic, end, rest, seed, watch};
use crate::client::World;

/// What a request goes wrong with.
const WORDS: [&str; 34] = [
    "\r\n",
    "\r\n\r\n",
    "\0",
    "%",
    "%00",
    "%zz",
    "%ff",
    "&",
    "=",
    "[]",
    "{",
    "}",
    "\"",
    "\\u0000",
    "\\",
    "../",
    "//",
    "?",
    "#",
    ":",
    ";",
    "é",
    "\u{feff}",
    "-1",
    "99999999999999999999",
    "1e999",
    "NaN",
    "null",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Cookie: PVEAuthCookie=PVE:a@b:00::x\r\n",
    "api2",
    "--",
];

fn requests(world: &World) -> Vec<Vec<u8>> {
    let token = world.token();
    let form = |path: &str, kind: &str, body: &str| {
        format!(
            "POST /api2/json{path} HTTP/1.1\r\nHost: x\r\n{token}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let urlencoded = "application/x-www-form-urlencoded";
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--b\r\nContent-Disposition: \
                     form-data; name=\"filename\"; filename=\"a.iso\"\r\n\r\nxyz\r\n--b--\r\n";
    [
        format!("GET /api2/json/cluster/resources?type=vm HTTP/1.1\r\nHost: x\r\n{token}\r\n"),
        format!("GET /api2/extjs/nodes/pve1/qemu/9000/config?current=1 HTTP/1.1\r\nHost: x\r\n{token}\r\n"),
        format!("DELETE /api2/json/nodes/pve1/qemu/100?purge=1 HTTP/1.1\r\nHost: x\r\n{token}\r\n"),
        form("/nodes/pve1/qemu/9000/clone", urlencoded, "newid=101&name=a&pool=kubernetes"),
        form(
            "/nodes/pve1/qemu/9000/config",
            "application/json",
            r#"{"net0":"virtio,bridge=vmbr0","cores":2,"tags":"a;b"}"#,
        ),
        form("/nodes/pve1/storage/shared/upload", "multipart/form-data; boundary=b", multipart),
        form("/access/ticket", urlencoded, "username=root%40pam&password=x"),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn at_the_door() -> Vec<Vec<u8>> {
    [
        ("POST", "/sim/faults", r#"{"match":{"path":"/x*","vmid":9},"nth":2,"probability":0.5,"then":{"delay":1}}"#),
        ("POST", "/sim/faults", r#"{"rules":[{"match":{"method":"PUT","user":"n*"},"then":{"task_fails":"x"}}]}"#),
        ("POST", "/sim/clock", r#"{"jump": 3600}"#),
        ("POST", "/sim/clock", r#"{"rate": 60}"#),
        ("PUT", "/sim/latencies", r#"["GET /nodes/*=2~1"]"#),
        ("POST", "/sim/tasks/UPID:pve1:00000001:00000001:00000001:qmstart:100:root@pam:/step", ""),
        ("GET", "/sim/faults/1/wait?seconds=0&count=1", ""),
    ]
    .map(|(verb, path, body)| {
        let length = body.len();
        format!(
            "{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    })
    .to_vec()
}

#[tokio::test]
async fn bytes_that_are_hardly_a_request_are_answered_or_hung_up_on() {
    watch();
    let mut dice = Dice::new(seed());
    let (end, mut world, mut sent) = (end(), World::quick().await, 0u32);
    let mut whole = (requests(&world), at_the_door());
    while Instant::now() < end {
        let door = dice.one_in(4);
        let mut bytes = dice.pick(if door { &whole.1 } else { &whole.0 }).clone();
        dice.spoil(&mut bytes, &WORDS);
        let answer = if door {
            let mut stream =
                TcpStream::connect(world.sim.control_url().strip_prefix("http://").unwrap()).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            rest(&mut stream, &bytes).await
        } else if dice.one_in(8) {
            if dice.one_in(2) {
                bytes.splice(0..0, [0x16, 3, 1]);
            }
            let mut stream = TcpStream::connect(world.address()).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // Plain HTTP is sent elsewhere, broken TLS gets an alert.
            drop(rest(&mut stream, &bytes).await);
            Vec::new()
        } else {
            let mut stream = world.connect().await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            rest(&mut stream, &bytes).await
        };
        let text = String::from_utf8_lossy(&bytes);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{text}: {}", String::from_utf8_lossy(&answer));
        assert_no_panic(&text);
        sent += 1;
        if sent.is_multiple_of(500) {
            world = World::quick().await;
            whole.0 = requests(&world);
        }
    }
    eprintln!("{sent} spoilt requests");
    assert!(sent > 20);
}
