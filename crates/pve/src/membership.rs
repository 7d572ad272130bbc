//! Who is in the cluster, as its own membership says.

use std::collections::BTreeMap;

use pve_types::{NodeName, lenient};
use serde::Deserialize;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// Who is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The cluster's name; none for a node that is in no cluster.
    pub cluster: Option<String>,
    /// Whether it has a majority; a node alone has.
    pub quorate: bool,
    /// All nodes, and whether they are online.
    pub nodes: BTreeMap<NodeName, bool>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default, deserialize_with = "lenient::flag")]
    quorate: bool,
    #[serde(default, deserialize_with = "lenient::flag")]
    online: bool,
}

impl Client {
    /// Who is in the cluster, and whether it has a majority. Needs Sys.Audit on `/`.
    pub async fn membership(&self) -> Result<Membership, Error> {
        let call = Call::get("/cluster/status", &[])?;
        let words = call.to_string();
        let rows: Vec<Row> = self.fetch(call).await?;
        let mut out = Membership { cluster: None, quorate: true, nodes: BTreeMap::new() };
        for Row { kind, name, quorate, online } in rows {
            match kind.as_str() {
                "cluster" => {
                    out.cluster = Some(name);
                    out.quorate = quorate;
                }
                "node" => {
                    let name = name.parse().map_err(|why| Error::garbled(&words, format!("{why}")))?;
                    out.nodes.insert(name, online);
                }
                _ => {}
            }
        }
        Ok(out)
    }
}
