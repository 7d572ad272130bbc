//! The wire: statuses, reasons, headers, bodies that are refused.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::client::{World, read};

#[tokio::test]
async fn what_does_not_exist_is_501_and_says_so_in_reason_and_message() {
    let world = World::quick().await;
    let answer = world.call("GET", "/nosuch", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str()), (501, "Method 'GET /nosuch' not implemented"));
    assert_eq!(answer.json(), json!({"data": null, "message": "Method 'GET /nosuch' not implemented"}));
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(answer.headers["content-type"], "application/json;charset=UTF-8");
}

#[tokio::test]
async fn a_good_answer_keeps_the_connection() {
    let world = World::quick().await;
    let mut stream = world.connect().await;
    for _ in 0..3 {
        let head = format!("GET /api2/json/version HTTP/1.1\r\nHost: x\r\n{}\r\n", world.token());
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read(&mut stream).await.unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (200, "OK"));
        assert_eq!(answer.headers["connection"], "Keep-Alive");
        assert_eq!(answer.headers["server"], "pve-api-daemon/3.0");
        assert!(answer.headers["expires"].ends_with(" GMT"), "{answer:?}");
        assert_eq!(answer.json()["data"]["release"], "9.2");
    }
}

#[tokio::test]
async fn the_hundredth_request_of_a_connection_is_its_last() {
    let world = World::quick().await;
    let mut stream = world.connect().await;
    let head = format!("GET /api2/json/version HTTP/1.1\r\nHost: x\r\n{}\r\n", world.token());
    for n in 1..=100 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read(&mut stream).await.unwrap();
        let expected = if n == 100 { "close" } else { "Keep-Alive" };
        assert_eq!(answer.headers["connection"], expected, "request {n}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_refused() {
    let world = World::quick().await;
    let head = format!(
        "PUT /api2/json/nodes/pve1/qemu/9000/config HTTP/1.1\r\nHost: x\r\n{}Transfer-Encoding: chunked\r\n\r\n",
        world.token()
    );
    let answer = world.raw(&head, b"7\r\ncores=1\r\n0\r\n\r\n").await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (501, "chunked transfer encoding not supported"));
    assert!(!answer.headers.contains_key("content-type"));
}

#[tokio::test]
async fn a_body_on_delete_and_a_strange_content_type_are_refused() {
    let world = World::quick().await;
    let head = |method: &str, kind: &str| {
        format!(
            "{method} /api2/json/pools HTTP/1.1\r\nHost: x\r\n{}Content-Type: {kind}\r\nContent-Length: 3\r\n\r\n",
            world.token()
        )
    };
    let answer = world.raw(&head("DELETE", "application/json"), b"a=b").await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (501, "Unexpected content for method 'DELETE'"));
    let answer = world.raw(&head("POST", "text/plain"), b"a=b").await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (506, "upload 'Content-Type 'text/plain' not implemented"));
}

#[tokio::test]
async fn extjs_answers_failures_with_200() {
    let world = World::quick().await;
    let head = format!("GET /api2/extjs/nosuch HTTP/1.1\r\nHost: x\r\n{}\r\n", world.token());
    let answer = world.raw(&head, b"").await.unwrap();
    assert_eq!(answer.status, 200);
    let message = "Method 'GET /nosuch' not implemented";
    assert_eq!(answer.json(), json!({"data": null, "message": message, "status": 501, "success": 0}));
}

#[tokio::test]
async fn all_complaints_about_parameters_come_at_once() {
    let world = World::quick().await;
    let form = [("vmid", "101"), ("bogus", "1"), ("cores", "0"), ("memory", "lots"), ("net0", "virtio,macaddr=zz")];
    let answer = world.call("POST", "/nodes/pve1/qemu", &form).await;
    assert_eq!(answer.refusal(), (400, "Parameter verification failed.".to_owned()));
    assert_eq!(
        answer.json()["errors"],
        json!({
            "bogus": "property is not defined in schema and the schema does not allow additional properties",
            "cores": "value must have a minimum value of 1",
            "memory": "invalid format - format error\nmemory.current: type check ('integer') failed - got 'lots'\n",
            "net0": "invalid format - format error\nnet0.macaddr: invalid format - value does not look like a valid \
                     unicast MAC address\n\n",
        })
    );
}

#[tokio::test]
async fn permission_comes_before_parameters_and_the_missing_privilege_is_named() {
    let world = World::quick().await;
    let answer = world.call("GET", "/cluster/status", &[("bogus", "1")]).await;
    assert_eq!(answer.refusal(), (403, "Permission check failed (/, Sys.Audit)".to_owned()));
    let answer = world.call("GET", "/nodes/pve1/storage/local/status", &[]).await;
    let text = "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)";
    assert_eq!(answer.refusal(), (403, text.to_owned()));
}

#[tokio::test]
async fn an_unknown_node_is_a_failed_look_up_and_a_dead_one_595() {
    let world = World::quick().await;
    let answer = world.call("GET", "/nodes/pve9/qemu", &[]).await;
    assert!(answer.refusal().1.starts_with("hostname lookup 'pve9' failed"), "{answer:?}");
    assert_eq!(world.door("POST", "/sim/nodes/pve3/down", "").await.0, 200);
    let answer = world.call("GET", "/nodes/pve3/qemu", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text.as_str()), (595, "No route to host", ""));
    let nodes = world.get("/nodes").await;
    assert_eq!(nodes[2]["status"], "offline");
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_sent_to_https() {
    let world = World::quick().await;
    let address = world.sim.url().strip_prefix("https://").unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /api2/json/version HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let answer = read(&mut stream).await.unwrap();
    assert_eq!((answer.status, answer.headers["location"].as_str()), (301, "https://x/api2/json/version"));
}
