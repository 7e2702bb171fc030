//! TLS and HTTP/2, against a server with a certificate of its own authority.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::{Network, NetworkError, Settings, SetupError, Timeouts};
use super::support::{Server, get, grants, text};

/// A server for `names`, and its authority.
async fn server(names: &[&str], alpn: &[&str]) -> (Server, CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    (Server::start(Some(acceptor)).await, cert.der().clone())
}

fn network(authorities: Vec<CertificateDer<'static>>) -> Network {
    Network::new(Settings {
        authorities,
        ..Settings::default()
    })
    .unwrap()
}

async fn ask(network: &Network, origin: &str) -> Result<String, NetworkError> {
    let uri = format!("{origin}/");
    let granted = grants(&[origin]);
    let sent = network.send(get(&uri), &granted, Timeouts::default());
    Ok(text(sent.await?).await)
}

#[tokio::test]
async fn http1_is_spoken_over_tls_and_the_connection_used_again() {
    let (server, authority) = server(&["localhost"], &["http/1.1"]).await;
    let network = network(vec![authority]);
    let origin = format!("https://localhost:{}", server.port);
    for _ in 0..3 {
        let heard = ask(&network, &origin).await.unwrap();
        assert!(heard.starts_with("GET / HTTP/1.1\n"), "{heard}");
        let host = format!("host: localhost:{}\n", server.port);
        assert!(heard.contains(&host), "{heard}");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn http2_is_spoken_if_the_server_can_and_shared_by_many_requests() {
    let (server, authority) = server(&["localhost"], &["h2", "http/1.1"]).await;
    let network = network(vec![authority]);
    let origin = format!("https://localhost:{}", server.port);
    let heard = ask(&network, &origin).await.unwrap();
    assert!(
        heard.starts_with(&format!("GET {origin}/ HTTP/2.0\n")),
        "{heard}"
    );
    let all = futures::future::join_all((0..20).map(|_| ask(&network, &origin))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_certificate_may_be_for_an_address() {
    let (server, authority) = server(&["127.0.0.1"], &[]).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    assert!(ask(&network(vec![authority]), &origin).await.is_ok());
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let (server, _) = server(&["localhost"], &[]).await;
    let origin = format!("https://localhost:{}", server.port);
    let error = ask(&network(vec![]), &origin).await.unwrap_err();
    assert!(
        matches!(error, NetworkError::TlsCertificate(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_accepted() {
    let (server, authority) = server(&["other.example"], &[]).await;
    let network = network(vec![authority]);
    for host in ["localhost", "127.0.0.1"] {
        let origin = format!("https://{host}:{}", server.port);
        let error = ask(&network, &origin).await.unwrap_err();
        assert!(
            matches!(error, NetworkError::TlsCertificate(_)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_ends_tls_says_why() {
    let (server, authority) = server(&["localhost"], &["imap"]).await;
    let origin = format!("https://localhost:{}", server.port);
    let error = ask(&network(vec![authority]), &origin).await.unwrap_err();
    assert_eq!(
        error,
        NetworkError::TlsAlert {
            id: 120,
            message: "NoApplicationProtocol".to_owned()
        }
    );
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_it() {
    let server = Server::start(None).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let error = ask(&network(vec![]), &origin).await.unwrap_err();
    assert!(
        matches!(
            error,
            NetworkError::TlsProtocol(_) | NetworkError::ConnectionTerminated
        ),
        "{error:?}"
    );
}

#[test]
fn an_authority_that_is_none_is_refused() {
    let settings = Settings {
        authorities: vec![CertificateDer::from(b"nonsense".to_vec())],
        ..Settings::default()
    };
    let error = Network::new(settings).err();
    assert!(matches!(error, Some(SetupError::Authority(_))));
}
