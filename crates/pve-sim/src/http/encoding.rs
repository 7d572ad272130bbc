//! Encoded answers: `gzip`, or else `deflate`, for whoever accepts it, if there is more than a kilobyte.
//!
//! The bytes are stored and not made smaller: nobody waits for a loopback.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, Full};

use super::envelope::Body;

/// Bodies up to here go out as they are.
const SMALL: usize = 1024;

/// The largest stored block.
const BLOCK: usize = 0xffff;

/// Encodes an answer, if the request asks for it.
pub(crate) async fn encoded(response: Response<Body>, request: &HeaderMap) -> Response<Body> {
    let accepted = request.get("accept-encoding").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let offers = |name: &str| accepted.split(',').any(|a| a.split(';').next().is_some_and(|a| a.trim() == name));
    let Some(name) = ["gzip", "deflate"].into_iter().find(|name| offers(name)) else { return response };
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if bytes.len() <= SMALL {
        return Response::from_parts(parts, Full::new(bytes));
    }
    parts.headers.insert("content-encoding", HeaderValue::from_static(name));
    Response::from_parts(parts, Full::new(Bytes::from(if name == "gzip" { gzip(&bytes) } else { zlib(&bytes) })))
}

fn stored(bytes: &[u8], out: &mut Vec<u8>) {
    let mut blocks = bytes.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    stored(bytes, &mut out);
    out.extend_from_slice(&crc(bytes).to_le_bytes());
    let length = bytes.len() & 0xffff_ffff;
    out.extend_from_slice(&u32::try_from(length).unwrap_or_default().to_le_bytes());
    out
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    stored(bytes, &mut out);
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}

/// The table of the checksum.
const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut n = 0;
    while n < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| CRC[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_books() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert!(zlib(b"Wikipedia").ends_with(&0x11e6_0398_u32.to_be_bytes()));
    }

    #[test]
    fn long_bodies_are_several_blocks_of_which_one_is_the_last() {
        let bytes = vec![7u8; BLOCK + 10];
        let out = gzip(&bytes);
        assert_eq!(out.len(), 10 + 5 + BLOCK + 5 + 10 + 8);
        assert_eq!((out[10], out[10 + 5 + BLOCK]), (0, 1));
    }

    #[tokio::test]
    async fn only_long_answers_are_encoded_and_only_for_those_who_ask() {
        let answer = |n: usize| Response::new(Full::new(Bytes::from(vec![b'x'; n])));
        let mut asks = HeaderMap::new();
        assert!(encoded(answer(5000), &asks).await.headers().is_empty());
        asks.insert("accept-encoding", HeaderValue::from_static("br, gzip;q=0.5"));
        assert_eq!(encoded(answer(5000), &asks).await.headers()["content-encoding"], "gzip");
        assert!(encoded(answer(1024), &asks).await.headers().is_empty());
    }
}
