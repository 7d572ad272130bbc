//! Logs, to stderr.
//!
//! * What it is: one call that installs the process's subscriber.
//! * What it promises: stdout stays for data; colour only on a terminal; the insides of kube and
//!   hyper speak from `warn` up unless the filter names them.
//! * What it assumes: it is called once, by `main`.

use std::{io::IsTerminal as _, str::FromStr};

use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A word that is no log format.
#[derive(Debug, thiserror::Error)]
#[error("log format `{0}` is neither `text` nor `json`")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not in the form `info` or `info,capi=debug`.
    #[error("read log filter `{filter}`")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// A subscriber is installed already.
    #[error("install the log subscriber")]
    Installed(#[source] TryInitError),
}

/// Quiet unless asked for. The spans of `kube_runtime` say less than ours
/// ([`crate::controller`]), so that they go too; what its client says of a failed call we say with the call.
const QUIET: &str = "kube=warn,kube_client=warn,kube_client::client::builder=off,kube_runtime=warn,hyper=warn,hyper_util=warn,\
     tower=warn,h2=warn,rustls=warn";

/// Installs the process's log subscriber: stderr, `filter` such as `info` or `info,capi=debug`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Error> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let start = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(parse(filter)?);
    match format {
        LogFormat::Text => start.with_ansi(coloured(std::io::stderr().is_terminal())).finish().try_init(),
        LogFormat::Json => start.json().flatten_event(true).finish().try_init(),
    }
    .map_err(Error::Installed)
}

/// Whether what goes to a terminal, or not to one, has colours: `NO_COLOR` (of any text) forbids them.
pub fn coloured(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty())
}

/// A later directive for the same target wins, so that the caller's words come last.
fn parse(filter: &str) -> Result<EnvFilter, Error> {
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|source| Error::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn kube_is_quiet_unless_the_filter_names_it() {
        assert!(parse("debug").unwrap().to_string().contains("kube_runtime=warn"));
        let named = parse("debug,kube_runtime=trace").unwrap().to_string();
        assert!(named.contains("kube_runtime=trace") && !named.contains("kube_runtime=warn"), "{named}");
    }

    #[test]
    fn no_filter_means_info() {
        assert_eq!(parse(" ").unwrap().max_level_hint(), Some(tracing::level_filters::LevelFilter::INFO));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named_in_the_error() {
        let error = parse("capi=loud").unwrap_err();
        assert!(crate::chain(&error).starts_with("read log filter `capi=loud`: "), "{}", crate::chain(&error));
    }

    #[test]
    fn formats_are_told_by_name() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        let error = "xml".parse::<LogFormat>().unwrap_err();
        assert_eq!(error.to_string(), "log format `xml` is neither `text` nor `json`");
    }
}
