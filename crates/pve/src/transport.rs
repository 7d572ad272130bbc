//! Sending a call and sorting what comes back.
//!
//! * Promises: a bound on calls in flight per URL; another URL only when nothing was sent; a new ticket
//!   once after a 401; every request counted by its template; no secret in a log line.
//! * Assumes: Proxmox's habits (reason phrase as message, 5 s keep-alive, no chunked bodies).

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::base_url::BaseUrl;
use crate::call::Call;
use crate::config::{ClientConfig, ConfigError, Proxy, Timeouts};
use crate::error::{Error, Refused, Tried, Unanswered, UnsentCause};
use crate::figures::{Figures, UNSENT};
use crate::login::{Login, Pass};
use crate::refusal::Refusal;
use crate::trust::{self, Trust};

/// Proxmox closes idle connections after 5 s; we leave first.
const POOL_IDLE: Duration = Duration::from_secs(3);

/// The pipe to Proxmox.
pub(crate) struct Transport {
    http: reqwest::Client,
    doors: Vec<Door>,
    preferred: AtomicUsize,
    login: Login,
    timeouts: Timeouts,
    figures: Mutex<Figures>,
}

struct Door {
    url: BaseUrl,
    gate: Semaphore,
}

/// What Proxmox answered, unwrapped.
pub(crate) struct Answer {
    pub(crate) data: Value,
    pub(crate) total: Option<u64>,
}

enum Failure {
    NotSent(String),
    Final(Error),
}

impl Transport {
    pub(crate) fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        let ClientConfig { urls, auth, trust, client_cert, calls_in_flight, timeouts, proxy } = config;
        if urls.is_empty() {
            return Err(ConfigError::NoUrl);
        }
        if matches!(trust, Trust::Skip) {
            tracing::warn!(
                urls = %urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                "certificates are not verified: anyone between us and Proxmox can read our secrets"
            );
        }
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(trust::tls(&trust, client_cert.as_ref())?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(POOL_IDLE)
            .connect_timeout(timeouts.connect)
            .user_agent(concat!("oxmox/", env!("CARGO_PKG_VERSION")));
        let builder = match proxy {
            Proxy::FromEnv => builder,
            Proxy::None => builder.no_proxy(),
            Proxy::Url(given) => {
                let proxy = reqwest::Proxy::all(&given).map_err(|_| ConfigError::Proxy { given })?;
                builder.no_proxy().proxy(proxy)
            }
        };
        let http = builder.build().map_err(|e| ConfigError::Tls { why: chain(&e) })?;
        Ok(Self {
            http,
            doors: urls.into_iter().map(|url| Door { url, gate: Semaphore::new(calls_in_flight.get()) }).collect(),
            preferred: AtomicUsize::new(0),
            login: Login::new(auth, timeouts.ticket)?,
            timeouts,
            figures: Mutex::default(),
        })
    }

    /// Calls so far.
    pub(crate) fn figures(&self) -> Figures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a call under our name.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let pass = self.pass(call, None).await?;
        match self.anywhere(call, Some(&pass)).await {
            // A 401 comes before anything is done, so even a write may be sent again.
            Err(Error::Refused(refused)) if refused.status == 401 && pass.is_ticket() => {
                let pass = self.pass(call, Some(&pass)).await?;
                self.anywhere(call, Some(&pass)).await
            }
            other => other,
        }
    }

    async fn pass(&self, call: &Call, refused: Option<&Pass>) -> Result<Pass, Error> {
        match self.login.pass(self, refused).await {
            // Proxmox said no to us: as good as a no to the call itself.
            Err(error @ Error::Refused(_)) => Err(error),
            Err(error) => Err(Error::unsent(call.to_string(), UnsentCause::Login(Box::new(error)))),
            Ok(pass) => Ok(pass),
        }
    }

    /// Sends a call through the first door that opens.
    pub(crate) async fn anywhere(&self, call: &Call, pass: Option<&Pass>) -> Result<Answer, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for turn in 0..self.doors.len() {
            let at = (first + turn) % self.doors.len();
            let door = &self.doors[at];
            match self.once(door, call, pass).await {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Failure::NotSent(why)) => {
                    tracing::debug!(call = %call, url = %door.url, why, "not sent");
                    tried.push(Tried { url: door.url.to_string(), why });
                }
                Err(Failure::Final(error)) => {
                    // A door that swallows calls is not the one to knock at next.
                    let silent = matches!(&error, Error::Unanswered(u) if u.status.is_none());
                    let next = if silent { at + 1 } else { at };
                    self.preferred.store(next % self.doors.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Err(Error::unsent(call.to_string(), UnsentCause::NoConnection { tried }))
    }

    async fn once(&self, door: &Door, call: &Call, pass: Option<&Pass>) -> Result<Answer, Failure> {
        let not_sent = |e: &dyn StdError| Failure::NotSent(chain(e));
        let _permit = door.gate.acquire().await.map_err(|e| not_sent(&e))?;
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).sent(call.counted());
        let began = Instant::now();
        let answer = self.ask(door, call, pass).await;
        let failed = match &answer {
            Ok(_) => None,
            Err(Failure::NotSent(_)) => Some(UNSENT),
            Err(Failure::Final(error)) => Some(error.category()),
        };
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.answered(call.counted(), began.elapsed(), failed);
        answer
    }

    async fn ask(&self, door: &Door, call: &Call, pass: Option<&Pass>) -> Result<Answer, Failure> {
        let began = Instant::now();
        let request = self.request(door, call, pass);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(lost(call, door, error)),
        };
        let status = response.status();
        let reason = response
            .extensions()
            .get::<ReasonPhrase>()
            .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
        let headers = response.headers().clone();
        let body = response.bytes().await.map_err(|error| lost(call, door, error))?;
        tracing::debug!(
            method = %call.method,
            path = %call.path,
            status = status.as_u16(),
            ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "called"
        );
        read(call, status, reason, &headers, &body).map_err(Failure::Final)
    }

    fn request(&self, door: &Door, call: &Call, pass: Option<&Pass>) -> reqwest::RequestBuilder {
        let form = call.form();
        let in_body = matches!(call.method, Method::POST | Method::PUT);
        let query = if in_body { "" } else { form.as_str() };
        let mut headers = HeaderMap::new();
        if let Some(pass) = pass {
            pass.add_to(&mut headers, &call.method);
        }
        let request = self.http.request(call.method.clone(), door.url.join(&call.path, query)).headers(headers);
        match &call.body {
            Some((kind, bytes)) => {
                request.header(header::CONTENT_TYPE, kind).body(bytes.clone()).timeout(self.timeouts.upload)
            }
            None if in_body => request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                // Without parameters too: a gateway may ask for it (411).
                .header(header::CONTENT_LENGTH, form.len())
                .body(form)
                .timeout(self.timeouts.answer),
            None => request.timeout(self.timeouts.answer),
        }
    }
}

/// A request that brought no answer: was it sent?
fn lost(call: &Call, door: &Door, error: reqwest::Error) -> Failure {
    let canceled = causes(&error).filter_map(|e| e.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled);
    let error = error.without_url();
    if error.is_connect() || error.is_builder() || canceled {
        let mut why = chain(&error);
        if door.url.names_no_port() {
            why.push_str(" (the URL names no port)");
        }
        return Failure::NotSent(why);
    }
    let why = if error.is_timeout() { "it took too long".to_owned() } else { chain(&error) };
    Failure::Final(Error::Unanswered(Box::new(Unanswered { call: call.to_string(), status: None, why })))
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    data: Value,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<BTreeMap<String, Value>>,
}

fn read(
    call: &Call,
    status: StatusCode,
    reason: Option<String>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Answer, Error> {
    let kind = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase());
    let json = kind.as_ref().is_some_and(|k| k.contains("json"));
    let envelope: Option<Envelope> = json.then(|| serde_json::from_slice(body).ok()).flatten();
    if status.is_success() {
        let Some(Envelope { data, total, .. }) = envelope else {
            return Err(Error::garbled(
                call.to_string(),
                format!(
                    "status {}, but no JSON of Proxmox's shape (content type `{}`)",
                    status.as_u16(),
                    kind.as_deref().unwrap_or("")
                ),
            ));
        };
        return Ok(Answer { data, total });
    }
    if status.is_redirection() {
        let to = headers
            .get(header::LOCATION)
            .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            .unwrap_or_default();
        return Err(Error::garbled(call.to_string(), format!("it redirects to `{to}`")));
    }
    let (said, errors) = envelope.map_or((None, None), |e| (e.message, e.errors));
    let plain = (kind.is_none() && !body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned());
    let message = said
        .or(plain)
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .or(reason)
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_default();
    // 595 to 599 are the entry node's words for trouble behind it; 502 to 504 a gateway's.
    if matches!(status.as_u16(), 502..=504 | 595..=599) {
        return Err(Error::Unanswered(Box::new(Unanswered {
            call: call.to_string(),
            status: Some(status.as_u16()),
            why: message,
        })));
    }
    let params: BTreeMap<String, String> = errors
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| match value {
            Value::String(text) => (key, text),
            other => (key, other.to_string()),
        })
        .collect();
    Err(Error::Refused(Box::new(Refused {
        call: call.to_string(),
        status: status.as_u16(),
        kind: Refusal::of_answer(status.as_u16(), &message, &params),
        message,
        params,
    })))
}

/// An error and its causes in one line, repeated words left out.
fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    for cause in causes(error) {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

fn causes(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}
