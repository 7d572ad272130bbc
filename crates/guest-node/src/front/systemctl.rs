//! In place of systemctl and service: the guest's supervisor knows the few services there are.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::init::door::{Request, ask};

pub(super) fn systemctl(arguments: &[String]) -> Result<ExitCode> {
    answer(&request(arguments))
}

/// `service NAME VERB`.
pub(super) fn service(arguments: &[String]) -> Result<ExitCode> {
    let mut words = arguments.iter().cloned();
    let name = words.next().unwrap_or_default();
    let verb = words.next().unwrap_or_else(|| "status".to_owned());
    answer(&Request { verb, units: vec![name], now: false })
}

fn request(arguments: &[String]) -> Request {
    let mut words = arguments.iter().filter(|word| !word.starts_with('-')).cloned();
    let verb = words.next().unwrap_or_else(|| "status".to_owned());
    Request { verb, units: words.collect(), now: arguments.iter().any(|word| word == "--now") }
}

fn answer(request: &Request) -> Result<ExitCode> {
    let reply = ask(request)?;
    std::io::stdout().write_all(reply.out.as_bytes())?;
    std::io::stderr().write_all(reply.err.as_bytes())?;
    Ok(ExitCode::from(u8::try_from(reply.code).unwrap_or(1)))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn flags_may_stand_anywhere() {
        let words: Vec<String> = ["--quiet", "enable", "--now", "keepalived"].map(str::to_owned).into();
        let request = request(&words);
        assert_eq!(request, Request { verb: "enable".to_owned(), units: vec!["keepalived".to_owned()], now: true });
    }
}
