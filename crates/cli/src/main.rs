//! The `oxmox` binary: Proxmox VE as Kubernetes infrastructure.

mod args;
mod command;
mod proxmox;
mod settings;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Both rustls users of ours take this one; installing it twice cannot happen here.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let unusable = unusable(std::env::args_os());
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(why) => {
            // stdout or stderr may be closed; then nobody reads this
            let _unheard = why.print();
            return if why.use_stderr() { ExitCode::from(unusable) } else { ExitCode::SUCCESS };
        }
    };
    match command::run(args) {
        Ok(code) => code,
        Err(why) => {
            // stderr may be closed; then nobody reads this
            let _ = writeln!(std::io::stderr(), "error: {}", daemon::chain(why.as_ref()));
            ExitCode::from(unusable)
        }
    }
}

/// The exit code of a command line that cannot be used. For `verify` and `worker check` a 2 says that a check has failed.
fn unusable(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.into_iter().take(3).collect();
    if words.iter().any(|word| word == "verify" || word == "check") { 3 } else { 2 }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_mistake_on_the_command_line_is_no_failed_check() {
        let code = |line: &str| unusable(line.split(' ').map(OsString::from));
        assert_eq!((code("oxmox verify -o yaml"), code("oxmox run capi --nonsense")), (3, 2));
    }
}
