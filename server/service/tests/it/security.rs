//! TLS and logins through the real handshake: who is let in, who waits, what a renewed certificate changes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;
use owlake::auth::Authenticator;
use owlake::config::TlsSection;
use owlake::{Lake, ServerTls};
use owlake_client::{Client, ClientError, ConnectOptions, tune_endpoint};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::Endpoint;

use crate::harness::{one, run};
use crate::process::Served;

const TOKENS: &str = "ann:a-long-enough-token\nbob:another-long-token\n";
const TOKEN: &str = "a-long-enough-token";

/// A certificate authority of this test's own, and one server certificate that it signed.
struct Authority {
    ca_pem: String,
    cert_pem: String,
    key_pem: String,
}

impl Authority {
    fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).unwrap();
        let signed = server.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        Self {
            ca_pem,
            cert_pem: signed.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Puts the certificate and its key where the server looks for them.
    fn install(&self, home: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (home.join("tls.crt"), home.join("tls.key"));
        std::fs::write(&cert, &self.cert_pem).unwrap();
        std::fs::write(&key, &self.key_pem).unwrap();
        (cert, key)
    }
}

/// Address of a server that knows [`TOKENS`]; it ends with the sender.
async fn serve(tls: Option<Arc<ServerTls>>) -> (String, oneshot::Sender<()>) {
    let lake = Lake::builder().build().await.unwrap();
    let auth = Authenticator::from_token_file(TOKENS, false).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        lake.serve_with(listener, auth, tls, stopped).await.unwrap();
    });
    (address, stop)
}

/// A client over TLS that trusts one authority.
async fn encrypted(address: &str, authority: &Authority, token: &str) -> Result<Client, ClientError> {
    let mut options = ConnectOptions::new(format!("grpc+tls://{address}").parse().unwrap());
    options.token = Some(token.to_owned());
    options.tls_ca_pem = Some(authority.ca_pem.clone().into_bytes());
    Client::connect(options).await
}

async fn answers(client: &Client) {
    assert_eq!(one(&run(client, "SELECT 7").await.unwrap()), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_needs_the_right_authority_and_the_right_token() {
    let home = tempfile::tempdir().unwrap();
    let (ours, strangers) = (Authority::new(), Authority::new());
    let (cert_file, key_file) = ours.install(home.path());
    let files = TlsSection {
        cert_file: Some(cert_file),
        key_file: Some(key_file),
        client_ca_file: None,
    };
    let (address, _stop) = serve(ServerTls::load(&files).unwrap()).await;
    answers(&encrypted(&address, &ours, TOKEN).await.unwrap()).await;
    let stranger = encrypted(&address, &strangers, TOKEN).await.unwrap_err();
    assert!(matches!(stranger, ClientError::Connect { .. }), "{stranger:?}");
    let guessed = encrypted(&address, &ours, "not-the-right-token").await.unwrap();
    let refused = run(&guessed, "SELECT 7").await.unwrap_err();
    assert_eq!(
        refused.failure().unwrap().grpc_code,
        Code::Unauthenticated,
        "{refused}"
    );
    // Plain text is no way in, and a connection that says nothing holds nobody up.
    let _silent = tokio::net::TcpStream::connect(&address).await.unwrap();
    let plain = ConnectOptions::new(format!("grpc://{address}").parse().unwrap());
    if let Ok(client) = Client::connect(plain).await {
        run(&client, "SELECT 7").await.unwrap_err();
    }
    answers(&encrypted(&address, &ours, TOKEN).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_client_authority_lets_nobody_in_without_a_certificate() {
    let home = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    let (cert_file, key_file) = ours.install(home.path());
    let client_ca_file = home.path().join("clients.crt");
    std::fs::write(&client_ca_file, &ours.ca_pem).unwrap();
    let files = TlsSection {
        cert_file: Some(cert_file),
        key_file: Some(key_file),
        client_ca_file: Some(client_ca_file),
    };
    let (address, _stop) = serve(ServerTls::load(&files).unwrap()).await;
    // In TLS 1.3 the client learns of it with its first call.
    if let Ok(client) = encrypted(&address, &ours, TOKEN).await {
        let refused = run(&client, "SELECT 7").await.unwrap_err();
        assert!(matches!(refused, ClientError::Connect { .. }), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_renews_the_certificate_for_new_connections_and_keeps_old_ones() {
    let home = tempfile::tempdir().unwrap();
    let (first, renewed) = (Authority::new(), Authority::new());
    let (cert, key) = first.install(home.path());
    let tokens = home.path().join("tokens");
    std::fs::write(&tokens, TOKENS).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (cert_flag, key_flag, token_flag) = (text(&cert), text(&key), text(&tokens));
    let flags = [
        "--tls-cert",
        &cert_flag,
        "--tls-key",
        &key_flag,
        "--token-file",
        &token_flag,
    ];
    let served = Served::start(home.path(), &home.path().join("data"), &flags);
    let address = served.url.strip_prefix("grpc+tls://").unwrap().to_owned();
    let before = encrypted(&address, &first, TOKEN).await.unwrap();
    answers(&before).await;
    encrypted(&address, &renewed, TOKEN).await.unwrap_err();
    // A key that does not fit: the certificate in use stays.
    std::fs::write(&key, &renewed.key_pem).unwrap();
    served.signal("HUP");
    logged(home.path(), "the certificate in use stays").await;
    answers(&encrypted(&address, &first, TOKEN).await.unwrap()).await;
    renewed.install(home.path());
    served.signal("HUP");
    logged(home.path(), "certificate and key were read again").await;
    answers(&encrypted(&address, &renewed, TOKEN).await.unwrap()).await;
    encrypted(&address, &first, TOKEN).await.unwrap_err();
    answers(&before).await;
    drop(before);
    served.stop();
}

/// Waits until the server's log has a text.
async fn logged(home: &Path, what: &str) {
    while !std::fs::read_to_string(home.join("serve.log"))
        .unwrap()
        .contains(what)
    {
        tokio::task::yield_now().await;
    }
}

/// A client whose connection comes from this loopback address.
async fn from(address: &str, last: u8, options: ConnectOptions) -> Result<Client, ClientError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .local_address(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))));
    Client::from_channel(tune_endpoint(endpoint).connect().await.unwrap(), options).await
}

fn token(text: &str) -> ConnectOptions {
    ConnectOptions {
        token: Some(text.to_owned()),
        ..ConnectOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_tokens_waits_and_nobody_else_does() {
    let (address, _stop) = serve(None).await;
    let mut login = ConnectOptions::default();
    (login.user, login.password) = (Some("ann".to_owned()), Some(TOKEN.to_owned()));
    let neighbour = from(&address, 2, login).await.unwrap();
    let other = from(&address, 3, token(TOKEN)).await.unwrap();
    let guesser = from(&address, 2, token("not-the-right-token")).await.unwrap();
    let guesses = join_all((0..60).map(|_| run(&guesser, "SELECT 7")));
    tokio::pin!(guesses);
    // Refusals are still waiting when everybody else has long been served.
    let served = async {
        for _ in 0..20 {
            answers(&other).await;
            answers(&neighbour).await;
        }
    };
    let mut refusals = None;
    tokio::join!(async { refusals = Some(guesses.await) }, served);
    let codes: Vec<Code> = refusals
        .unwrap()
        .into_iter()
        .map(|answer| answer.unwrap_err().failure().unwrap().grpc_code)
        .collect();
    let of = |code| codes.iter().filter(|c| **c == code).count();
    assert_eq!(
        of(Code::Unauthenticated) + of(Code::ResourceExhausted),
        60,
        "{codes:?}"
    );
    assert!(of(Code::Unauthenticated) >= 16, "{codes:?}");
    assert!(
        of(Code::ResourceExhausted) > 0,
        "guesses are not bounded: {codes:?}"
    );
    // None of it outlives the guessing: the right token gets in from the same address.
    let right = from(&address, 2, token(TOKEN)).await.unwrap();
    answers(&right).await;
}
