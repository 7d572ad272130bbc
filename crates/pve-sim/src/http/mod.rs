//! The wire: TLS listener, bodies and forms, credentials, the envelope around answers.

pub(crate) mod auth;
pub(crate) mod envelope;
pub(crate) mod fail;
pub(crate) mod forms;
pub(crate) mod listener;
pub(crate) mod serve;
pub(crate) mod struck;
pub(crate) mod tls;
