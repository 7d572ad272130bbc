//! What an administrator of Proxmox VE does: calls of the API as `root@pam`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{NotYet, eventually};

/// An administrator who has logged in.
#[derive(Debug)]
pub struct Administrator {
    http: reqwest::Client,
    url: String,
    cookie: String,
    csrf: String,
}

impl Administrator {
    /// Logs in as `root@pam` at `https://HOST:PORT`, whose certificate `ca` (PEM) has signed.
    pub async fn log_in(url: &str, ca: &str, password: &str) -> Result<Self> {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).context("read the CA of Proxmox VE")?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().context("make a client")?;
        let url = format!("{}/api2/json", url.trim_end_matches('/'));
        let form = [("username", "root@pam"), ("password", password)];
        let answer = http.post(format!("{url}/access/ticket")).form(&form).send().await.context("log in")?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let text = |key: &str| answer["data"][key].as_str().map(ToOwned::to_owned).context("read the ticket");
        Ok(Self { http, url, cookie: format!("PVEAuthCookie={}", text("ticket")?), csrf: text("CSRFPreventionToken")? })
    }

    /// One call; what it answers.
    pub async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let method = method.parse().with_context(|| format!("`{method}` is no method"))?;
        let asked =
            self.http.request(method, &url).header("cookie", &self.cookie).header("CSRFPreventionToken", &self.csrf);
        let asked = if form.is_empty() { asked } else { asked.form(form) };
        let answer = asked.send().await.with_context(|| format!("call {url}"))?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{url}: {status}: {text}");
        let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("read the answer of {url}"))?;
        Ok(answer["data"].take())
    }

    /// One call, and the task that it starts, if any: that must end well.
    pub async fn carry_out(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Result<()> {
        let answer = self.call(method, path, form).await?;
        let Some(upid) = answer.as_str().filter(|text| text.starts_with("UPID:")) else { return Ok(()) };
        let node = upid.split(':').nth(1).context("a UPID names its node")?;
        let path = format!("/nodes/{node}/tasks/{upid}/status");
        let ended = eventually(Duration::from_mins(1), || async {
            let now = self.call("GET", &path, &[]).await?;
            match (now["status"].as_str(), now["exitstatus"].as_str()) {
                (Some("stopped"), Some("OK")) => Ok(()),
                (Some("stopped"), how) => Err(NotYet::Never(format!("it ended with {how:?}"))),
                (how, _) => Err(NotYet::because(format!("it is {how:?}"))),
            }
        });
        ended.await.with_context(|| format!("wait for the task `{upid}`"))
    }

    /// Makes a user with a token and gives both a role on paths; the token's secret. The role is called as the user is
    /// before its `@`.
    pub async fn token(&self, user: &str, token: &str, privileges: &str, paths: &[&str]) -> Result<String> {
        let role = user.split('@').next().unwrap_or(user);
        self.call("POST", "/access/roles", &[("roleid", role), ("privs", privileges)]).await?;
        self.call("POST", "/access/users", &[("userid", user)]).await?;
        let made = self.call("POST", &format!("/access/users/{user}/token/{token}"), &[("privsep", "1")]).await?;
        for path in paths {
            self.grant(user, token, path, true).await?;
        }
        made["value"].as_str().map(ToOwned::to_owned).context("read the token's secret")
    }

    /// Gives the role of that user, or takes it away.
    pub async fn grant(&self, user: &str, token: &str, path: &str, give: bool) -> Result<()> {
        let role = user.split('@').next().unwrap_or(user);
        let token = format!("{user}!{token}");
        let delete = if give { "0" } else { "1" };
        let form = [("path", path), ("roles", role), ("users", user), ("tokens", &token), ("delete", delete)];
        self.call("PUT", "/access/acl", &form).await.map(|_| ())
    }
}
