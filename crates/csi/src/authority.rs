//! Connections of clients that call us by our socket's path.
//!
//! * What it is: a Go program that dials a Unix socket by its path, as the kubelet does for registration, sends
//!   `:authority: %2Fvar%2Flib%2F…-reg.sock`. That is no authority (RFC 3986 has no `%2F` in a host), and h2 resets the
//!   stream. Nobody reads the authority of a Unix socket, so it is replaced by `localhost` before h2 sees it.
//! * What it promises: everything else passes as it came, byte by byte.
//! * Why this is right: header blocks are compressed by a table that both sides keep in step by position; only the value
//!   of an entry is replaced, and by a shorter one, so that nothing leaves our table that is still in the client's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

/// What every connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, kind, flags, stream.
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Of the table that HPACK begins with.
const AUTHORITY: usize = 1;
const LOCALHOST: &[u8] = b"localhost";
const READ: usize = 16 << 10;

/// A connection whose authority is in order.
pub(crate) struct Connection {
    inner: UnixStream,
    rewriter: Rewriter,
    ready: Vec<u8>,
    taken: usize,
}

impl Connection {
    pub(crate) fn new(inner: UnixStream) -> Self {
        Self { inner, rewriter: Rewriter::default(), ready: Vec::new(), taken: 0 }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        while this.taken == this.ready.len() {
            let mut space = [0; READ];
            let mut raw = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut raw))?;
            this.ready.clear();
            this.taken = 0;
            if raw.filled().is_empty() {
                // Half a frame at the end is for h2 to judge.
                this.rewriter.end(&mut this.ready);
                break;
            }
            this.rewriter.feed(raw.filled(), &mut this.ready);
        }
        let rest = &this.ready[this.taken..];
        let some = &rest[..rest.len().min(out.remaining())];
        out.put_slice(some);
        this.taken += some.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// Where in the stream we are.
#[derive(Default)]
struct Rewriter {
    /// What came and cannot be told yet.
    pending: Vec<u8>,
    /// How much of the present frame passes as it is.
    pass: usize,
    began: bool,
}

impl Rewriter {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        if !self.began {
            if self.pending.len() < PREFACE.len() {
                return;
            }
            self.began = true;
            self.pass = PREFACE.len();
        }
        loop {
            let rest = &self.pending[at..];
            if self.pass > 0 {
                let some = rest.len().min(self.pass);
                out.extend_from_slice(&rest[..some]);
                self.pass -= some;
                at += some;
                if self.pass > 0 {
                    break;
                }
                continue;
            }
            let Some(head) = rest.first_chunk::<FRAME_HEAD>() else { break };
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            if head[3] != HEADERS {
                self.pass = FRAME_HEAD + length;
                continue;
            }
            let Some(frame) = rest.get(..FRAME_HEAD + length) else { break };
            out.extend(headers(frame).unwrap_or_else(|| frame.to_vec()));
            at += frame.len();
        }
        self.pending.drain(..at);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.pending);
    }
}

/// A HEADERS frame with another authority; `None` where it is to stay as it is.
fn headers(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at_checked(FRAME_HEAD)?;
    let flags = head[4];
    // No client pads, and none has so many headers that they do not fit into a frame.
    if flags & PADDED != 0 || flags & END_HEADERS == 0 {
        return None;
    }
    let (before, block) = payload.split_at_checked(if flags & PRIORITY == 0 { 0 } else { 5 })?;
    let block = rewritten(block)?;
    let length = u32::try_from(before.len() + block.len()).ok()?.to_be_bytes();
    Some([&length[1..], &head[3..], before, &block].concat())
}

/// A header block (RFC 7541) with `localhost` as the authority.
fn rewritten(block: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(block.len());
    let mut at = 0;
    while let Some(first) = block.get(at) {
        let begin = at;
        let (prefix, literal) = match first {
            0x80.. => (7, false),
            0x40..0x80 => (6, true),
            0x20..0x40 => (5, false),
            0x00..0x20 => (4, true),
        };
        let index = integer(block, &mut at, prefix)?;
        if literal {
            if index == 0 {
                let length = integer(block, &mut at, 7)?;
                at = at.checked_add(length)?;
            }
            let value = at;
            let length = integer(block, &mut at, 7)?;
            at = at.checked_add(length)?;
            if index == AUTHORITY && length > LOCALHOST.len() {
                out.extend_from_slice(block.get(begin..value)?);
                out.push(u8::try_from(LOCALHOST.len()).ok()?);
                out.extend_from_slice(LOCALHOST);
                continue;
            }
        }
        out.extend_from_slice(block.get(begin..at)?);
    }
    Some(out)
}

/// A number with so many bits in its first byte.
fn integer(block: &[u8], at: &mut usize, prefix: u32) -> Option<usize> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*block.get(*at)?) & most;
    *at += 1;
    if value < most {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = usize::from(*block.get(*at)?);
        *at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod test {
    use super::*;

    const PATH: &[u8] = b"%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fx-reg.sock";

    fn literal(index: u8, value: &[u8]) -> Vec<u8> {
        [&[0x40 | index, u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn only_the_authority_is_replaced_and_only_where_it_is_no_name() {
        let others = [&[0x83, 0x86][..], &literal(4, b"/pluginregistration.Registration/GetInfo")].concat();
        let named = [&[0x00, 0x02][..], b"te", &[0x08], b"trailers"].concat();
        let with = |authority: &[u8]| [&others[..], &literal(1, authority), &named].concat();
        assert_eq!(rewritten(&with(PATH)).unwrap(), with(LOCALHOST));
        assert_eq!(rewritten(&with(LOCALHOST)).unwrap(), with(LOCALHOST));
        assert_eq!(rewritten(&others).unwrap(), others);
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let block = literal(1, PATH);
        let stream = [
            PREFACE,
            &frame(4, 0, &[0, 3, 0, 0, 0, 100]),
            &frame(HEADERS, END_HEADERS, &block),
            &frame(0, 1, &[0, 0, 0, 0, 0]),
            &frame(HEADERS, END_HEADERS | PRIORITY, &[&[0, 0, 0, 0, 15][..], &block].concat()),
        ]
        .concat();
        let short = literal(1, LOCALHOST);
        let wanted = [
            PREFACE,
            &frame(4, 0, &[0, 3, 0, 0, 0, 100]),
            &frame(HEADERS, END_HEADERS, &short),
            &frame(0, 1, &[0, 0, 0, 0, 0]),
            &frame(HEADERS, END_HEADERS | PRIORITY, &[&[0, 0, 0, 0, 15][..], &short].concat()),
        ]
        .concat();
        for size in [1, 2, 7, 24, 30, stream.len()] {
            let (mut rewriter, mut out) = (Rewriter::default(), Vec::new());
            stream.chunks(size).for_each(|chunk| rewriter.feed(chunk, &mut out));
            rewriter.end(&mut out);
            assert!(out == wanted, "in pieces of {size}: {out:?}");
        }
    }

    #[test]
    fn what_is_no_header_block_passes_as_it_came() {
        let cut = frame(HEADERS, END_HEADERS, &[0x41, 0x7f]);
        assert_eq!(headers(&cut), None);
        let padded = frame(HEADERS, END_HEADERS | PADDED, &literal(1, PATH));
        assert_eq!(headers(&padded), None);
    }
}
