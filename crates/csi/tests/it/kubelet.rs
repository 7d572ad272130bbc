//! What a kubelet sends that a client of ours does not.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// `GetInfo` in the bytes of a kubelet, which says the socket's path where a host belongs; what it is answered.
pub(crate) async fn asks_who_we_are(socket: &Path) -> String {
    let authority = socket.display().to_string().replace('/', "%2F");
    let headers = [
        &[0x83, 0x86, 0x44][..], // POST, http, :path
        &text("/pluginregistration.Registration/GetInfo"),
        &[0x41], // :authority
        &text(&authority),
        &[0x5f], // content-type
        &text("application/grpc"),
    ]
    .concat();
    let said = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 0x4, 1, &headers),
        frame(0, 0x1, 1, &[0; 5]),
    ]
    .concat();
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(&said).await.unwrap();
    let mut heard = Vec::new();
    let answered = async {
        let mut some = [0; 1024];
        loop {
            let length = stream.read(&mut some).await.unwrap();
            heard.extend_from_slice(&some[..length]);
            if length == 0 || String::from_utf8_lossy(&heard).contains(csi::DRIVER) {
                break;
            }
        }
    };
    // A stream that was reset is followed by nothing.
    let _late = tokio::time::timeout(Duration::from_secs(2), answered).await;
    String::from_utf8_lossy(&heard).into_owned()
}
