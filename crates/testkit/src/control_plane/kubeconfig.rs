//! Kubeconfig files: one cluster, one user, everything inside, so that a file works wherever it is carried.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::authority::Certificate;

/// How its user shows who it is.
pub(super) enum Credential<'a> {
    Certificate(&'a Certificate),
    Token(&'a str),
}

/// The text of a kubeconfig (JSON, which is YAML too).
pub(super) fn kubeconfig(server: &str, authority: &str, user: &str, credential: &Credential<'_>) -> String {
    let user_fields: Value = match credential {
        Credential::Certificate(signed) => json!({
            "client-certificate-data": STANDARD.encode(&signed.certificate),
            "client-key-data": STANDARD.encode(&signed.key),
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "testkit", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{ "name": user, "user": user_fields }],
        "contexts": [{ "name": "testkit", "context": { "cluster": "testkit", "user": user } }],
        "current-context": "testkit",
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_token_kubeconfig_names_its_server_and_carries_the_token() {
        let text = kubeconfig("https://127.0.0.1:6443", "CA", "oxmox", &Credential::Token("abc"));
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "Q0E=");
        assert_eq!(config["users"][0]["user"]["token"], "abc");
    }
}
