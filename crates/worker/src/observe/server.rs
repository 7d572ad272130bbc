//! The control plane of a bundle: whether it is the one that is meant, and what it says to the token.
//!
//! * What it promises: the token is sent only over TLS that the bundle's authority has signed.
//! * What it assumes: `kube-public/cluster-info`, as kubeadm makes it, readable by anybody.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use jiff::{Timestamp, fmt::rfc2822};
use kube::Client;
use kube::client::Body;
use kube::config::{AuthInfo, Config, Kubeconfig};
use secrecy::SecretString;
use serde_json::Value;

use crate::{Bundle, Identity, NodeSeen, Seen, Server, TokenSays, authority_hash};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// An answer: its code, what it holds, and the server's clock minus ours if it told its time.
struct Answer {
    code: u16,
    body: Value,
    ahead_ms: Option<i64>,
}

pub(super) async fn read(bundle: &Bundle, name: Option<&str>, now: impl Fn() -> Timestamp + Send + Sync) -> Server {
    let mut seen = Server {
        url: bundle.server.clone(),
        clock_ahead_ms: Seen::Unread("the control plane did not answer".to_owned()),
        authority: Seen::Absent,
        version: Seen::Unread("the control plane is not trusted".to_owned()),
        token: Seen::Unread("the control plane is not trusted".to_owned()),
        node: Seen::Unread("the control plane is not trusted".to_owned()),
    };
    let stranger = client(bundle, None);
    let info = match stranger {
        Ok(client) => ask(&client, "/api/v1/namespaces/kube-public/configmaps/cluster-info", &now).await,
        Err(why) => Err(why),
    };
    let info = match info {
        Ok(info) => info,
        Err(why) => {
            seen.authority = Seen::Unread(why);
            return seen;
        }
    };
    seen.clock_ahead_ms = info.ahead_ms.map_or_else(|| Seen::Unread("it tells no time".to_owned()), Seen::Known);
    if info.code != 200 {
        if info.code != 404 {
            seen.authority = Seen::Unread(format!("kube-public/cluster-info: {}", refusal(&info)));
        }
        return seen;
    }
    let Some(pem) = authority_of(&info.body) else {
        seen.authority = Seen::Unread("kube-public/cluster-info holds no authority".to_owned());
        return seen;
    };
    let hash = authority_hash(&pem).unwrap_or_default();
    let meant = bundle.authorities.contains(&hash);
    seen.authority = Seen::Known((hash, meant));
    if !meant {
        return seen;
    }
    match client(bundle, Some(&pem)) {
        Ok(client) => trusted(bundle, name, &info, &client, &now, &mut seen).await,
        Err(why) => seen.token = Seen::Unread(why),
    }
    seen
}

/// What a control plane says to somebody with the token.
async fn trusted(
    bundle: &Bundle,
    name: Option<&str>,
    info: &Answer,
    client: &Client,
    now: &(impl Fn() -> Timestamp + Send + Sync),
    seen: &mut Server,
) {
    let config = match ask(client, "/api/v1/namespaces/kube-system/configmaps/kubeadm-config", now).await {
        Ok(config) => config,
        Err(why) => {
            seen.token = Seen::Unread(why);
            return;
        }
    };
    // A token that may sign leaves its signature beside the ConfigMap, until it has expired.
    let signature = format!("jws-kubeconfig-{}", bundle.token_id());
    let has_signed = info.body.pointer("/data").is_some_and(|data| data.get(&signature).is_some());
    seen.token = match config.code {
        200 | 404 => Seen::Known(TokenSays::Welcome),
        401 if has_signed => Seen::Known(TokenSays::WrongSecret),
        401 => Seen::Known(TokenSays::NoSuchId),
        403 => Seen::Known(TokenSays::MayNotJoin),
        _ => Seen::Unread(refusal(&config)),
    };
    if seen.token != Seen::Known(TokenSays::Welcome) {
        let why = "the token was refused".to_owned();
        (seen.version, seen.node) = (Seen::Unread(why.clone()), Seen::Unread(why));
        return;
    }
    seen.version = match ask(client, "/version", now).await {
        Ok(answer) => answer.body["gitVersion"].as_str().unwrap_or_default().parse::<crate::Version>().into(),
        Err(why) => Seen::Unread(why),
    };
    let Some(name) = name else {
        seen.node = Seen::Unread("the name of this machine is not known".to_owned());
        return;
    };
    seen.node = match ask(client, &format!("/api/v1/nodes/{name}"), now).await {
        Ok(answer) if answer.code == 404 => Seen::Absent,
        Ok(answer) if answer.code == 200 => Seen::Known(node(&answer.body)),
        Ok(answer) => Seen::Unread(refusal(&answer)),
        Err(why) => Seen::Unread(why),
    };
}

fn refusal(answer: &Answer) -> String {
    let words = answer.body["message"].as_str().unwrap_or_default();
    format!("it says {} {words}", answer.code).trim_end().to_owned()
}

/// A Node as the API tells it.
pub(super) fn node(body: &Value) -> NodeSeen {
    let conditions = body.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
    let info = |key: &str| body.pointer("/status/nodeInfo").and_then(|info| info[key].as_str()).unwrap_or_default();
    let machine_id = info("machineID").to_owned();
    // Where there is no firmware that tells, a kubelet gives its machine-id a second time.
    let uuid = Some(info("systemUUID")).filter(|uuid| *uuid != machine_id).unwrap_or_default().to_lowercase();
    NodeSeen {
        identity: Identity { machine_id, uuid },
        name: body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        ready: ready.is_some_and(|one| one["status"] == "True"),
        message: ready.and_then(|one| one["message"].as_str()).unwrap_or("it has not reported yet").to_owned(),
    }
}

fn authority_of(info: &Value) -> Option<Vec<u8>> {
    let text = info.pointer("/data/kubeconfig")?.as_str()?;
    let kubeconfig = Kubeconfig::from_yaml(text).ok()?;
    let cluster = kubeconfig.clusters.into_iter().next()?.cluster?;
    STANDARD.decode(cluster.certificate_authority_data?.trim()).ok()
}

/// A client: without an authority it believes anybody and has no credentials, with one it has the token.
fn client(bundle: &Bundle, authority: Option<&[u8]>) -> Result<Client, String> {
    let url = bundle.server.parse().map_err(|why| format!("`{}`: {why}", bundle.server))?;
    let mut config = Config::new(url);
    (config.connect_timeout, config.read_timeout) = (Some(CONNECT), Some(ANSWER));
    config.proxy_url = None;
    match authority {
        None => config.accept_invalid_certs = true,
        Some(pem) => {
            let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|why| why.to_string())?;
            config.root_cert = Some(vec![pem.contents]);
            let token: SecretString = bundle.token.clone();
            config.auth_info = AuthInfo { token: Some(token), ..AuthInfo::default() };
        }
    }
    Client::try_from(config).map_err(|why| super::words(&why))
}

async fn ask(client: &Client, path: &str, now: &(impl Fn() -> Timestamp + Send + Sync)) -> Result<Answer, String> {
    let request = Request::get(path).body(Body::empty()).map_err(|why| why.to_string())?;
    let asked = now();
    let response: Response<Body> = tokio::time::timeout(ANSWER, client.send(request))
        .await
        .map_err(|_| format!("no answer in {} s", ANSWER.as_secs()))?
        .map_err(|why| super::words(&why))?;
    let answered = now();
    let (head, body) = response.into_parts();
    let date = head.headers.get("date").and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| rfc2822::parse(date).ok()).map(|time| time.timestamp());
    // Its time has whole seconds, of a moment between question and answer.
    let middle = i64::midpoint(asked.as_millisecond(), answered.as_millisecond());
    let ahead_ms = theirs.map(|theirs| theirs.as_millisecond() + 500 - middle);
    let bytes = body.collect().await.map_err(|why| super::words(&why))?.to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Ok(Answer { code: head.status.as_u16(), body, ahead_ms })
}
