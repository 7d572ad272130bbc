//! Whose certificate we believe.

use std::sync::Arc;

use pve::{Client, ClientCert, ConfigError, Error, Fingerprint, Trust};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use crate::stub::{Reply, Stub, config};

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Ca { pem, issuer: Issuer::new(params, key) }
}

struct Leaf {
    cert: rcgen::Certificate,
    key: KeyPair,
}

fn leaf(ca: Option<&Ca>) -> Leaf {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = match ca {
        Some(ca) => params.signed_by(&key, &ca.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Leaf { cert, key }
}

fn acceptor(leaf: &Leaf, clients: Option<&Ca>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca_der(ca)).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
            )
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![leaf.cert.der().clone()], key).unwrap()))
}

fn ca_der(ca: &Ca) -> rustls::pki_types::CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()
}

async fn server(leaf: &Leaf) -> Stub {
    Stub::start_with(Some(acceptor(leaf, None)), |_| Reply::data(json!({"version": "9.1.4"}))).await
}

async fn ask(stub: &Stub, trust: Trust) -> Result<(), Error> {
    let mut config = config(vec![stub.url()]);
    config.trust = trust;
    Client::new(config).unwrap().version().await.map(|_| ())
}

/// The call was not sent, and the words let a person compare the fingerprint.
fn assert_distrusted(answer: Result<(), Error>, leaf: &Leaf, stub: &Stub) {
    let error = answer.unwrap_err();
    let Error::Unsent(unsent) = &error else { panic!("{error:?}") };
    let shown = Fingerprint::of(leaf.cert.der()).to_string();
    assert!(unsent.cause.to_string().contains(&shown), "{}", unsent.cause);
    assert!(error.hint().unwrap().contains("fingerprint"));
    assert!(stub.calls().is_empty(), "no secret was shown");
}

#[tokio::test]
async fn the_system_does_not_trust_a_self_signed_certificate() {
    let leaf = leaf(None);
    let stub = server(&leaf).await;
    let mut config = config(vec![stub.url()]);
    config.trust = Trust::System;
    match Client::new(config) {
        Ok(client) => assert_distrusted(client.version().await.map(|_| ()), &leaf, &stub),
        // A machine without any CA: said before the first call.
        Err(error) => assert!(matches!(error, ConfigError::Tls { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_ca_vouches_for_what_it_signed_and_nothing_else() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let leaf = leaf(Some(&ours));
    let stub = server(&leaf).await;
    assert_distrusted(ask(&stub, Trust::Ca(theirs.pem.clone())).await, &leaf, &stub);
    ask(&stub, Trust::Ca(ours.pem.clone())).await.unwrap();
    ask(&stub, Trust::Ca(format!("{}{}", theirs.pem, ours.pem))).await.unwrap();
}

#[tokio::test]
async fn a_self_signed_certificate_may_be_given_as_its_own_ca() {
    let leaf = leaf(None);
    let stub = server(&leaf).await;
    ask(&stub, Trust::Ca(leaf.cert.pem())).await.unwrap();
}

#[tokio::test]
async fn a_fingerprint_pins_one_certificate() {
    let (leaf, other) = (leaf(None), leaf(None));
    let stub = server(&leaf).await;
    assert_distrusted(ask(&stub, Trust::Fingerprint(Fingerprint::of(other.cert.der()))).await, &leaf, &stub);
    let shown = Fingerprint::of(leaf.cert.der()).to_string();
    for spelling in [shown.clone(), shown.to_lowercase(), shown.replace(':', "")] {
        ask(&stub, Trust::Fingerprint(spelling.parse().unwrap())).await.unwrap();
    }
}

#[tokio::test]
async fn skipping_asks_nothing() {
    let stub = server(&leaf(None)).await;
    ask(&stub, Trust::Skip).await.unwrap();
}

#[tokio::test]
async fn a_gateway_gets_our_certificate() {
    let (ours, leaf_ca) = (ca("clients"), ca("servers"));
    let door = leaf(Some(&leaf_ca));
    let stub = Stub::start_with(Some(acceptor(&door, Some(&ours))), |_| Reply::data(json!({"version": "9.1.4"}))).await;
    let mine = leaf(Some(&ours));
    let mut with = config(vec![stub.url()]);
    with.trust = Trust::Ca(leaf_ca.pem.clone());
    let without = with.clone();
    with.client_cert = Some(ClientCert { cert_pem: mine.cert.pem(), key_pem: mine.key.serialize_pem().into() });
    Client::new(with).unwrap().version().await.unwrap();
    assert!(Client::new(without).unwrap().version().await.is_err());
    assert_eq!(stub.calls().len(), 1);
}

#[test]
fn certificates_that_do_not_read_are_refused_at_once() {
    let url = "https://pve1:8006".parse::<pve::BaseUrl>().unwrap();
    let mut none = config(vec![url.clone()]);
    none.trust = Trust::Ca("not a certificate".to_owned());
    assert!(matches!(Client::new(none), Err(ConfigError::Ca { .. })));
    let mut cert = config(vec![url]);
    cert.client_cert = Some(ClientCert { cert_pem: "no".to_owned(), key_pem: "no".to_owned().into() });
    assert!(matches!(Client::new(cert), Err(ConfigError::ClientCert { .. })));
    for bad in ["", "AA", "zz:zz", &"AA:".repeat(33)] {
        assert!(matches!(bad.parse::<Fingerprint>(), Err(ConfigError::Fingerprint { .. })), "`{bad}`");
    }
}
