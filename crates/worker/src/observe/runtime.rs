//! The container runtime, asked for its version over CRI: one gRPC call, written by hand.
//!
//! Source: `runtime.v1.RuntimeService/Version` of Kubernetes' CRI. Its answer has the fields version (1), runtime_name (2),
//! runtime_version (3) and runtime_api_version (4).

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::UnixStream;

use super::Place;
use crate::{Runtime, Seen};

const LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, PartialEq, prost::Message)]
struct Asked {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answered {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    version: String,
    #[prost(string, tag = "4")]
    api: String,
}

pub(super) async fn read(place: &Place) -> Seen<Runtime> {
    let Some(path) = place.cri_socket.strip_prefix("unix://") else {
        return Seen::Unread(format!("`{}` is no unix:// socket", place.cri_socket));
    };
    let path = place.path(path);
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        // a socket that nobody serves, or none
        Err(why) if matches!(why.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            return Seen::Absent;
        }
        Err(why) => return Seen::Unread(format!("open `{}`: {why}", path.display())),
    };
    match tokio::time::timeout(LIMIT, version(stream)).await {
        Ok(answer) => answer.map_err(|why| format!("`{}`: {why}", path.display())).into(),
        Err(_) => Seen::Unread(format!("`{}` does not answer in {} s", path.display(), LIMIT.as_secs())),
    }
}

async fn version(stream: UnixStream) -> Result<Runtime, String> {
    let said = |why: &dyn std::fmt::Display| why.to_string();
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|why| said(&why))?;
    let driver = tokio::spawn(connection);
    let request = http::Request::post("http://localhost/runtime.v1.RuntimeService/Version")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame(&Asked { version: "v1".to_owned() })))
        .map_err(|why| said(&why))?;
    let answer = send.send_request(request).await.map_err(|why| said(&why))?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|why| said(&why))?;
    driver.abort();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    match status.and_then(|status| status.to_str().ok()) {
        Some("0") | None => {}
        // 12: it speaks gRPC, and not this service
        Some("12") => return Err("it does not speak CRI v1".to_owned()),
        Some(code) => {
            let words = trailers.get("grpc-message").or_else(|| head.headers.get("grpc-message"));
            return Err(format!(
                "gRPC status {code}: {}",
                words.and_then(|words| words.to_str().ok()).unwrap_or_default()
            ));
        }
    }
    let Answered { name, version, api } = unframe(body.to_bytes())?;
    Ok(Runtime { name, version, api })
}

/// A message with gRPC's head: uncompressed, and its length.
fn frame(message: &Asked) -> Bytes {
    let bytes = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(bytes.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(bytes.len()).unwrap_or_default());
    framed.extend_from_slice(&bytes);
    framed.freeze()
}

fn unframe(mut body: Bytes) -> Result<Answered, String> {
    let short = || "its answer is too short".to_owned();
    if body.remaining() < 5 {
        return Err(short());
    }
    let compressed = body.get_u8();
    let length = body.get_u32() as usize;
    if compressed != 0 || body.remaining() < length {
        return Err(short());
    }
    Answered::decode(body.split_to(length)).map_err(|why| format!("its answer does not read: {why}"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_answer_is_read_by_the_numbers_of_its_fields() {
        // 1: "0.1.0", 2: "containerd", 3: "2.1", 4: "v1"
        let message = b"\x0a\x050.1.0\x12\x0acontainerd\x1a\x032.1\x22\x02v1";
        let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        body.extend_from_slice(message);
        let answer = unframe(body.into()).unwrap();
        assert_eq!((answer.name.as_str(), answer.api.as_str()), ("containerd", "v1"));
        assert!(unframe(Bytes::from_static(b"\0\0\0\0\x09short")).is_err());
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_absent_and_one_that_is_silent_is_unread() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { root: dir.path().to_owned(), cri_socket: "unix:///cri.sock".into() };
        assert_eq!(read(&place).await, Seen::Absent);
        let listener = tokio::net::UnixListener::bind(dir.path().join("cri.sock")).unwrap();
        let hangs_up = tokio::spawn(async move { listener.accept().await.map(drop) });
        assert!(matches!(read(&place).await, Seen::Unread(_)));
        hangs_up.await.unwrap().unwrap();
    }
}
