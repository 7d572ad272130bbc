//! Showing who we are: a token in each call, or a ticket that is fetched and renewed.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::call::{Call, escape};
use crate::config::{Auth, ConfigError};
use crate::error::{Error, Refused};
use crate::refusal::Refusal;
use crate::transport::Transport;

const CSRF: HeaderName = HeaderName::from_static("csrfpreventiontoken");

/// How we show who we are.
pub(crate) enum Login {
    Token(Pass),
    Password { user: String, password: SecretString, lasts: Duration, ticket: Mutex<Option<Pass>> },
}

/// What goes into a call's headers.
#[derive(Clone)]
pub(crate) struct Pass {
    header: (HeaderName, HeaderValue),
    csrf: Option<HeaderValue>,
    /// `None` for tokens, which do not age.
    since: Option<Instant>,
}

impl Pass {
    pub(crate) fn is_ticket(&self) -> bool {
        self.since.is_some()
    }

    pub(crate) fn add_to(&self, headers: &mut HeaderMap, method: &Method) {
        let (name, value) = self.header.clone();
        headers.insert(name, value);
        if let (Some(csrf), false) = (&self.csrf, method == Method::GET) {
            headers.insert(CSRF, csrf.clone());
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    ticket: String,
    #[serde(rename = "CSRFPreventionToken")]
    csrf: Option<String>,
    #[serde(rename = "NeedTFA", default, deserialize_with = "pve_types::lenient::flag")]
    need_tfa: bool,
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Login {
    pub(crate) fn new(auth: Auth, lasts: Duration) -> Result<Self, ConfigError> {
        let empty = |name: &str, secret: &SecretString| {
            secret
                .expose_secret()
                .trim()
                .is_empty()
                .then(|| ConfigError::EmptySecret { name: name.to_owned() })
                .map_or(Ok(()), Err)
        };
        match auth {
            Auth::Token { id, secret } => {
                let shape = id.split_once('@').and_then(|(_, rest)| rest.split_once('!'));
                if !shape.is_some_and(|(realm, name)| !realm.is_empty() && !name.is_empty())
                    || id.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
                {
                    return Err(ConfigError::TokenId { id });
                }
                empty(&id, &secret)?;
                let text = format!("PVEAPIToken={id}={}", secret.expose_secret().trim());
                let value = secret_header(&text).ok_or(ConfigError::StrangeSecret { name: id })?;
                Ok(Self::Token(Pass { header: (header::AUTHORIZATION, value), csrf: None, since: None }))
            }
            Auth::Password { user, password } => {
                if !user.split_once('@').is_some_and(|(u, r)| !u.is_empty() && !r.is_empty()) {
                    return Err(ConfigError::User { user });
                }
                empty(&user, &password)?;
                Ok(Self::Password { user, password, lasts, ticket: Mutex::new(None) })
            }
        }
    }

    /// A pass that should do; `refused` is one that Proxmox has just turned down.
    pub(crate) async fn pass(&self, via: &Transport, refused: Option<&Pass>) -> Result<Pass, Error> {
        let (user, password, lasts, ticket) = match self {
            Self::Token(pass) => return Ok(pass.clone()),
            Self::Password { user, password, lasts, ticket } => (user, password, lasts, ticket),
        };
        // Held while asking, so that many calls wait for one ticket.
        let mut held = ticket.lock().await;
        if let Some(pass) = &*held {
            let young = pass.since.is_some_and(|s| s.elapsed() < *lasts);
            if young && refused.is_none_or(|r| r.since != pass.since) {
                return Ok(pass.clone());
            }
        }
        let pass = fetch(via, user, password).await?;
        *held = Some(pass.clone());
        Ok(pass)
    }
}

async fn fetch(via: &Transport, user: &str, password: &SecretString) -> Result<Pass, Error> {
    let since = Instant::now();
    let call = Call::post("/access/ticket", &[])?.with("username", user)?.with("password", password.expose_secret())?;
    let words = call.to_string();
    let data = via.anywhere(&call, None).await?.data;
    let answer: Granted = serde_json::from_value(data).map_err(|_| Error::garbled(&words, "it holds no ticket"))?;
    if answer.need_tfa {
        return Err(Error::Refused(Box::new(Refused {
            call: words,
            status: 200,
            message: format!("`{user}` needs a second factor: use an API token instead"),
            params: std::collections::BTreeMap::new(),
            kind: Refusal::AuthFailed,
        })));
    }
    let cookie = format!("PVEAuthCookie={}", escape(&answer.ticket));
    let strange = || Error::garbled(&words, "the ticket does not fit in a header");
    Ok(Pass {
        header: (header::COOKIE, secret_header(&cookie).ok_or_else(strange)?),
        csrf: match answer.csrf {
            Some(csrf) => Some(secret_header(&csrf).ok_or_else(strange)?),
            None => None,
        },
        since: Some(since),
    })
}
