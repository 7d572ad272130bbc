//! The simulator's control door: plain HTTP on loopback.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A door.
#[derive(Debug, Clone)]
pub(crate) struct Door(String);

impl Door {
    pub(crate) fn new(url: &str) -> Self {
        Self(url.strip_prefix("http://").unwrap().to_owned())
    }

    /// Asks, and reads the answer whole.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.0).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.0,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// A stream of events that the caller reads line by line.
    pub(crate) async fn events(&self) -> tokio::io::BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.0).await.unwrap();
        let head = format!("GET /sim/guests/events HTTP/1.1\r\nHost: {}\r\n\r\n", self.0);
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::io::BufReader::new(stream)
    }
}
