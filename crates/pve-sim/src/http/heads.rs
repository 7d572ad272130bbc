//! The heads of requests, before the HTTP library sees them.
//!
//! Proxmox VE reads them by hand, and so differs: a first line that is none is answered with `bad request`, another
//! version with 506, too many or too long lines with nothing, and nobody is told to continue.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Lines that a head may have, and bytes.
const LINES: usize = 64;
const BYTES: usize = 8 << 10;

/// The method by which a first line that is none goes on.
pub(crate) const NO_REQUEST: &str = "NO-REQUEST";
/// The method by which a version that is not spoken goes on; the path names it.
pub(crate) const NO_VERSION: &str = "NO-VERSION";

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Head,
    Body(u64),
    /// Nothing is looked at any more.
    Rest,
    /// Nothing is read any more, but the answer goes out.
    Quiet,
    /// The connection ends.
    End,
}

/// Looks at the heads that come in.
#[derive(Debug)]
struct Sieve {
    next: Next,
    came: BytesMut,
    ready: BytesMut,
}

impl Sieve {
    fn work(&mut self) {
        loop {
            match self.next {
                Next::End | Next::Quiet => return self.came.clear(),
                Next::Rest => {
                    self.ready.extend_from_slice(&self.came);
                    return self.came.clear();
                }
                Next::Body(0) => self.next = Next::Head,
                Next::Body(left) => {
                    if self.came.is_empty() {
                        return;
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.came.len());
                    self.ready.extend_from_slice(&self.came.split_to(take));
                    self.next = Next::Body(left - take as u64);
                }
                Next::Head => {
                    let Some(end) = end_of_head(&self.came) else {
                        if self.came.len() > BYTES {
                            self.next = Next::End;
                        }
                        return;
                    };
                    let head = self.came.split_to(end);
                    self.head(&head);
                }
            }
        }
    }

    fn head(&mut self, head: &[u8]) {
        let text = head.strip_suffix(b"\n").unwrap_or(head);
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
        if lines.len() > LINES + 2 || head.len() > BYTES {
            self.next = Next::End;
            return;
        }
        match first_line(lines.first().copied().unwrap_or_default()) {
            First::Good => {}
            First::None => return self.instead(&format!("{NO_REQUEST} / HTTP/1.0\r\n\r\n")),
            First::Version(version) => return self.instead(&format!("{NO_VERSION} /{version} HTTP/1.0\r\n\r\n")),
        }
        let mut length = 0;
        self.next = Next::Head;
        for line in lines {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            if name.eq_ignore_ascii_case(b"expect") {
                continue;
            }
            let value = || String::from_utf8_lossy(line.get(name.len() + 1..).unwrap_or_default()).trim().to_owned();
            if name.eq_ignore_ascii_case(b"content-length") {
                length = value().parse().unwrap_or(0);
            }
            if name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"upgrade") {
                self.next = Next::Rest;
            }
            self.ready.extend_from_slice(line);
            self.ready.extend_from_slice(b"\r\n");
        }
        if self.next == Next::Head {
            self.next = Next::Body(length);
        }
    }

    fn instead(&mut self, request: &str) {
        self.ready.extend_from_slice(request.as_bytes());
        self.next = Next::Quiet;
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'\n') {
        let next = from + at + 1;
        match &bytes[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] if bytes[..next].ends_with(b"\r\n") => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

enum First {
    Good,
    None,
    Version(String),
}

fn first_line(line: &[u8]) -> First {
    let Ok(line) = std::str::from_utf8(line) else { return First::None };
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts.as_slice() else { return First::None };
    let number = version.strip_prefix("HTTP/").and_then(|v| v.split_once('.'));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    match number {
        _ if method.is_empty() || target.is_empty() => First::None,
        Some(("1", "0" | "1")) => First::Good,
        Some((major, minor)) if digits(major) && digits(minor) => First::Version(format!("{major}.{minor}")),
        _ => First::None,
    }
}

/// A stream whose heads are looked at.
#[derive(Debug)]
pub(crate) struct Heads<S> {
    stream: S,
    sieve: Sieve,
}

impl<S> Heads<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, sieve: Sieve { next: Next::Head, came: BytesMut::new(), ready: BytesMut::new() } }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        loop {
            let ready = &mut this.sieve.ready;
            if !ready.is_empty() {
                let take = ready.len().min(out.remaining());
                out.put_slice(&ready[..take]);
                ready.advance(take);
                return Poll::Ready(Ok(()));
            }
            match this.sieve.next {
                Next::End => return Poll::Ready(Ok(())),
                // The answer closes the connection; an end of ours would be taken for the client's.
                Next::Quiet => return Poll::Pending,
                Next::Head | Next::Body(_) | Next::Rest => {}
            }
            let mut space = [MaybeUninit::uninit(); 8 << 10];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            if buffer.filled().is_empty() {
                // What has come of a head is nothing.
                return Poll::Ready(Ok(()));
            }
            this.sieve.came.extend_from_slice(buffer.filled());
            this.sieve.work();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn sieved(came: &[&str]) -> String {
        let mut sieve = Sieve { next: Next::Head, came: BytesMut::new(), ready: BytesMut::new() };
        for piece in came {
            sieve.came.extend_from_slice(piece.as_bytes());
            sieve.work();
        }
        String::from_utf8(sieve.ready.to_vec()).unwrap()
    }

    #[test]
    fn a_head_ends_at_its_first_empty_line_however_lines_end() {
        let end = |text: &str| end_of_head(text.as_bytes());
        assert_eq!(end("GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n\n"), Some(24));
        assert_eq!(end("GET / HTTP/1.1\nA: b\n\nbody\r\n\r\n"), Some(21));
        assert_eq!(end("GET / HTTP/1.1\r\nA: b\r\n\r"), None);
        assert_eq!(end("GET / HTTP/1.1\r\nA: b\n\r\n"), None);
        assert_eq!((end(""), end("\n"), end("\n\n")), (None, None, Some(2)));
    }

    #[test]
    fn nobody_is_told_to_continue() {
        let out = sieved(&[
            "PUT /x HTTP/1.1\r\nExpect: 100-con",
            "tinue\r\nContent-Length: 3\r\n\r\na=",
            "1GET / HTTP/1.1\r\n\r\n",
        ]);
        assert_eq!(out, "PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn what_is_no_request_goes_on_as_such_and_ends_the_connection() {
        assert_eq!(sieved(&["NONSENSE\r\n\r\nGET / HTTP/1.1\r\n\r\n"]), "NO-REQUEST / HTTP/1.0\r\n\r\n");
        assert_eq!(sieved(&["GET / HTTP/3.1\r\n\r\n"]), "NO-VERSION /3.1 HTTP/1.0\r\n\r\n");
    }

    #[test]
    fn too_many_and_too_long_lines_are_not_answered() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        assert_eq!(sieved(&[&many]), "");
        let enough = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(64));
        assert_eq!(sieved(&[&enough]), enough);
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(9000));
        assert_eq!(sieved(&[&long]), "");
    }

    #[test]
    fn the_end_of_a_body_may_come_with_the_next_head() {
        let one = "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n\r\nPOST /y HTTP/1.1\r\n\r\n";
        assert_eq!(sieved(&[one]), one);
    }
}
