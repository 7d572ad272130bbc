//! The wire: TLS listener, heads, bodies and forms, credentials, the envelope around answers.

pub(crate) mod auth;
mod encoding;
pub(crate) mod envelope;
pub(crate) mod fail;
pub(crate) mod forms;
mod heads;
pub(crate) mod listener;
mod note;
mod page;
pub(crate) mod serve;
pub(crate) mod struck;
pub(crate) mod tls;
mod work;
pub(crate) mod workers;
