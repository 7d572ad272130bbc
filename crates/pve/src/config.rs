//! What a client needs to know before its first call.

use std::num::NonZeroUsize;
use std::time::Duration;

use secrecy::SecretString;

use crate::base_url::{BadUrl, BaseUrl};
use crate::trust::Trust;

/// Settings of a [`crate::Client`].
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Doors to the same cluster, tried in order when one cannot be reached.
    pub urls: Vec<BaseUrl>,
    /// Who we are.
    pub auth: Auth,
    /// Whose certificate we believe.
    pub trust: Trust,
    /// A certificate of ours, for a gateway that asks for one.
    pub client_cert: Option<ClientCert>,
    /// How many calls may be under way at once, per URL. Proxmox serves three at a time per node.
    pub calls_in_flight: NonZeroUsize,
    /// How long we wait.
    pub timeouts: Timeouts,
    /// Whether a proxy stands between.
    pub proxy: Proxy,
}

/// Three workers serve a node's API; twice as many keep them busy without a queue worth its name.
const CALLS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(6).expect("six is not zero");

impl ClientConfig {
    /// The usual settings: the system's trust, the environment's proxy.
    pub fn new(urls: Vec<BaseUrl>, auth: Auth) -> Self {
        Self {
            urls,
            auth,
            trust: Trust::System,
            client_cert: None,
            calls_in_flight: CALLS_IN_FLIGHT,
            timeouts: Timeouts::default(),
            proxy: Proxy::FromEnv,
        }
    }
}

/// Who we are to Proxmox. `Debug` shows the name, never the secret.
#[derive(Debug, Clone)]
pub enum Auth {
    /// An API token.
    Token {
        /// `user@realm!name`.
        id: String,
        /// The UUID that was shown once.
        secret: SecretString,
    },
    /// A user's password, for a ticket that is renewed.
    Password {
        /// `user@realm`.
        user: String,
        /// The password.
        password: SecretString,
    },
}

impl Auth {
    /// The name as tasks carry it: `user@realm` or `user@realm!token`.
    pub fn name(&self) -> &str {
        match self {
            Self::Token { id, .. } => id,
            Self::Password { user, .. } => user,
        }
    }
}

/// A certificate of ours with its key, in PEM.
#[derive(Debug, Clone)]
pub struct ClientCert {
    /// The certificate and its chain.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: SecretString,
}

/// How long we wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer. Proxmox gives up on its own back end after 30 s and says so; hear it out.
    pub answer: Duration,
    /// For an upload as a whole.
    pub upload: Duration,
    /// How old a ticket may grow before it is renewed. Proxmox takes it for two hours.
    pub ticket: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(40),
            upload: Duration::from_mins(10),
            // A quarter of an hour is left for clocks that differ.
            ticket: Duration::from_mins(105),
        }
    }
}

/// Whether a proxy stands between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// As `HTTPS_PROXY` and `NO_PROXY` say.
    FromEnv,
    /// None, whatever the environment says.
    None,
    /// This one for everything.
    Url(String),
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A URL is wrong.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// No URL at all.
    #[error("no Proxmox URL is given")]
    NoUrl,
    /// The token's id is not one.
    #[error("`{id}` is not a token id: it should read `user@realm!name`, with the secret apart")]
    TokenId {
        /// What was given.
        id: String,
    },
    /// The user's name is not one.
    #[error("`{user}` is not a user: it should read `user@realm`")]
    User {
        /// What was given.
        user: String,
    },
    /// The secret is empty.
    #[error("the secret of `{name}` is empty")]
    EmptySecret {
        /// Whose.
        name: String,
    },
    /// The secret cannot stand in a header.
    #[error("the secret of `{name}` holds characters no secret of Proxmox has")]
    StrangeSecret {
        /// Whose.
        name: String,
    },
    /// A fingerprint does not parse.
    #[error("`{given}` is not a SHA-256 fingerprint: 32 pairs of hexadecimal digits")]
    Fingerprint {
        /// What was given.
        given: String,
    },
    /// The CA bundle holds nothing usable.
    #[error("read the CA certificates: {why}")]
    Ca {
        /// What is wrong.
        why: String,
    },
    /// Our own certificate does not work.
    #[error("read the client certificate: {why}")]
    ClientCert {
        /// What is wrong.
        why: String,
    },
    /// The proxy's URL is wrong.
    #[error("`{given}` is not a proxy's URL")]
    Proxy {
        /// What was given.
        given: String,
    },
    /// TLS could not be set up.
    #[error("set up TLS: {why}")]
    Tls {
        /// What is wrong.
        why: String,
    },
}
