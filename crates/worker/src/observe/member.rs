//! This machine as a Node, by the credentials that its kubelet has.

use std::path::Path;
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::{Place, server, words};
use crate::{Member, Seen};

const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn read(place: &Place) -> Seen<Member> {
    let path = place.path(KUBECONFIG);
    if !path.exists() {
        return Seen::Absent;
    }
    read_from(&path).await.into()
}

async fn read_from(path: &Path) -> Result<Member, String> {
    // The reason may quote it, and it names keys: only the fact is told.
    let bad = |_| format!("`{KUBECONFIG}` does not read");
    let kubeconfig = Kubeconfig::read_from(path).map_err(bad)?;
    let server = kubeconfig.clusters.first().and_then(|one| one.cluster.as_ref()?.server.clone());
    let server = server.ok_or_else(|| format!("`{KUBECONFIG}` names no server"))?;
    let user = kubeconfig.auth_infos.first().map(|one| one.name.clone()).unwrap_or_default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let node = match config {
        Err(_) => Seen::Unread("the kubelet has no certificate yet".to_owned()),
        Ok(mut config) => {
            (config.connect_timeout, config.read_timeout) = (Some(ANSWER), Some(ANSWER));
            match Client::try_from(config) {
                Ok(client) => own_node(&client, &user).await,
                Err(why) => Seen::Unread(words(&why)),
            }
        }
    };
    Ok(Member { server, node })
}

/// Who we are, and that Node: NodeRestriction lets a kubelet read no other.
async fn own_node(client: &Client, user: &str) -> Seen<crate::NodeSeen> {
    let name = match whoami(client).await {
        Ok(name) => name,
        Err(why) => match user.strip_prefix("system:node:") {
            Some(name) => name.to_owned(),
            None => return Seen::Unread(why),
        },
    };
    let request = match Request::get(format!("/api/v1/nodes/{name}")).body(Vec::new()) {
        Ok(request) => request,
        Err(why) => return Seen::Unread(why.to_string()),
    };
    match tokio::time::timeout(ANSWER, client.request::<Value>(request)).await {
        Ok(Ok(body)) => Seen::Known(server::node(&body)),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Seen::Absent,
        Ok(Err(why)) => Seen::Unread(words(&why)),
        Err(_) => Seen::Unread(format!("no answer in {} s", ANSWER.as_secs())),
    }
}

async fn whoami(client: &Client) -> Result<String, String> {
    let review = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(review.as_bytes().to_vec())
        .map_err(|why| why.to_string())?;
    let answer = tokio::time::timeout(ANSWER, client.request::<Value>(request));
    let body = answer.await.map_err(|_| "no answer".to_owned())?.map_err(|why| words(&why))?;
    let user = body.pointer("/status/userInfo/username").and_then(Value::as_str).unwrap_or_default();
    user.strip_prefix("system:node:").map(str::to_owned).ok_or_else(|| format!("the kubelet's user is `{user}`"))
}
