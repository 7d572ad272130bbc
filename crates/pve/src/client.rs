//! The client: cheap to clone, one pipe shared by all clones.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::config::{ClientConfig, ConfigError};
use crate::error::Error;
use crate::figures::Figures;
use crate::transport::{Answer, Transport};

/// A client of one Proxmox cluster.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    name: Arc<str>,
}

impl Client {
    /// Checks the settings; sends nothing.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        let name = config.auth.name().into();
        Ok(Self { transport: Arc::new(Transport::new(config)?), name })
    }

    /// Who we are, as tasks name their starter: `user@realm` or `user@realm!token`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often each call was sent, by method and path template (`GET /nodes/{node}/tasks`).
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.transport.figures().calls.into_iter().map(|(call, of)| (call, of.sent)).collect()
    }

    /// Calls with their failures and time. Tasks are the [`crate::Poller`]'s.
    pub fn figures(&self) -> Figures {
        self.transport.figures()
    }

    pub(crate) async fn answer(&self, call: &Call) -> Result<Answer, Error> {
        self.transport.send(call).await
    }

    /// Sends a call and reads its data.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let answer = self.answer(&call).await?;
        serde_json::from_value(answer.data).map_err(|e| Error::garbled(call.to_string(), e.to_string()))
    }

    /// Sends a call whose answer says nothing.
    pub(crate) async fn run(&self, call: Call) -> Result<(), Error> {
        self.answer(&call).await.map(|_| ())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name).finish_non_exhaustive()
    }
}
