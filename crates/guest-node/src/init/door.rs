//! The door through which programs inside a guest reach its supervisor, as they would reach systemd.
//!
//! Promises: one request and one reply a connection, JSON lines. Assumes the socket in `/run`, which is the guest's own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const SOCKET: &str = "/run/guest-node/door";

/// What is asked, in systemctl's words.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Request {
    /// `start`, `stop`, `is-active` and so on.
    pub verb: String,
    /// Which units.
    pub units: Vec<String>,
    /// `--now`.
    pub now: bool,
}

/// What is answered.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Reply {
    /// The exit code.
    pub code: i32,
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
}

/// Asks the supervisor.
pub fn ask(request: &Request) -> Result<Reply> {
    let mut stream = UnixStream::connect(SOCKET).context("no supervisor runs here")?;
    serde_json::to_writer(&mut stream, request)?;
    stream.write_all(b"\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).context("the supervisor's answer")
}

/// Opens the door; each request comes through `to` with a way to answer.
pub(super) fn open<M: Send + 'static>(
    to: Sender<M>,
    wrap: impl Fn(Request, Sender<Reply>) -> M + Send + 'static,
) -> Result<()> {
    let listener = UnixListener::bind(SOCKET).context("open the door")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that hangs up, or talks nonsense, harms only itself.
            let _ = serve(&stream, &to, &wrap);
        }
    });
    Ok(())
}

fn serve<M>(mut stream: &UnixStream, to: &Sender<M>, wrap: &impl Fn(Request, Sender<Reply>) -> M) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let request = serde_json::from_str(&line)?;
    let (answer, answered) = channel();
    to.send(wrap(request, answer)).ok().context("the supervisor is gone")?;
    let reply = answered.recv()?;
    serde_json::to_writer(&mut stream, &reply)?;
    stream.write_all(b"\n")?;
    Ok(())
}
