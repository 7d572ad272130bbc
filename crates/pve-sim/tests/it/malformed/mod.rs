//! Whatever is sent, the simulator answers as HTTP or closes the connection, and never panics.
//!
//! What is sent comes from a seed. A sample in each run; ten minutes with `OXMOX_FULL=1`.

mod bytes;
mod calls;
mod dice;

use std::panic;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

/// Where the simulator panicked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static WATCH: Once = Once::new();

/// Panics inside of the simulator end only its connection: they are collected here.
fn watch() {
    WATCH.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or_else(String::new, ToString::to_string);
            if !place.contains("tests/it") {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
            }
            usual(info);
        }));
    });
}

fn assert_no_panic(what: &str) {
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(panics.is_empty(), "{what}: {panics:#?}");
}

/// Where chance starts.
fn seed() -> u64 {
    let given = std::env::var_os("OXMOX_SEED").and_then(|v| v.to_str()?.parse().ok());
    given.unwrap_or(7)
}

/// When the test has done enough.
fn end() -> Instant {
    let full = std::env::var_os("OXMOX_FULL").is_some_and(|v| v == "1");
    Instant::now() + Duration::from_secs(if full { 300 } else { 8 })
}

/// Everything until the connection closes; it has to.
async fn rest<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, what: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // Longer than the door waits for a rule to strike, where nobody says how long.
    let read = tokio::time::timeout(Duration::from_secs(90), stream.read_to_end(&mut out)).await;
    // A connection that is closed without TLS's good-bye is closed all the same.
    assert!(read.is_ok(), "no end of the answer to {:?}", String::from_utf8_lossy(what));
    out
}
