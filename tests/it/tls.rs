//! TLS on both listeners: certificates that change, clients that must show one, and what is no
//! TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{Admin, payload};
use e2e::alerts::get;
use e2e::certificates::{Authority, Pair};
use e2e::process::run;
use e2e::rig::{Plan, Rig, Role};
use nix::sys::signal::Signal;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::http::whole;

struct Stage {
    rig: Rig,
    authority: Authority,
    certificates: [CertificateDer<'static>; 2],
    folder: TempDir,
}

/// TLS on both listeners; with `--grpc-client-ca` where a client must have a certificate.
async fn stage(clients: bool) -> anyhow::Result<Stage> {
    let folder = TempDir::new()?;
    let authority = Authority::new("the test's own")?;
    let (http, http_certificate) = authority.issue(folder.path(), "http")?;
    let (grpc, grpc_certificate) = authority.issue(folder.path(), "grpc")?;
    let mut admin_args = tls_args("grpc", &grpc);
    if clients {
        let ca = folder.path().join("ca.pem");
        authority.write(&ca)?;
        admin_args.extend(["--grpc-client-ca".to_owned(), ca.display().to_string()]);
    }
    let gateway_args = tls_args("http", &http);
    let rig = Rig::planned(Plan { admin_args, gateway_args, ..Plan::default() }).await?;
    Ok(Stage { rig, authority, certificates: [http_certificate, grpc_certificate], folder })
}

fn tls_args(listener: &str, pair: &Pair) -> Vec<String> {
    let [certificate, key] = [&pair.certificate, &pair.key].map(|path| path.display().to_string());
    vec![format!("--{listener}-tls-cert"), certificate, format!("--{listener}-tls-key"), key]
}

async fn channel(grpc: SocketAddr, ca: &Authority, me: Option<&Pair>) -> anyhow::Result<Channel> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ca.pem));
    let tls = match me {
        Some(pair) => {
            let read = |path: &Path| std::fs::read(path);
            tls.identity(Identity::from_pem(read(&pair.certificate)?, read(&pair.key)?))
        }
        None => tls,
    };
    Ok(Endpoint::from_shared(format!("https://{grpc}"))?.tls_config(tls)?.connect().await?)
}

async fn dial(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::clone(config));
    let name = ServerName::try_from("localhost")?;
    let socket = TcpStream::connect(address).await?;
    Ok(timeout(Duration::from_secs(10), connector.connect(name, socket)).await??)
}

/// The certificate that the server of a connection has shown.
fn shown(stream: &TlsStream<TcpStream>) -> anyhow::Result<&CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates().context("no certificate")?;
    chain.first().context("no certificate")
}

/// Waits until new connections are shown this certificate.
async fn shows(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    certificate: &CertificateDer<'static>,
) -> anyhow::Result<()> {
    e2e::wait::eventually("the certificate to be shown", async || {
        let stream = dial(address, config).await.ok()?;
        (shown(&stream).ok()? == certificate).then_some(())
    })
    .await
}

/// Sends an alert over an open connection, which stays open; gives the first line of the answer.
async fn send_over(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    token: &str,
) -> anyhow::Result<String> {
    let body = payload("firing", "a");
    let head = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
    let request =
        format!("POST /v1/process HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !whole(&answer) {
        let read = timeout(Duration::from_secs(10), stream.read_buf(&mut answer)).await??;
        anyhow::ensure!(read > 0, "closed");
    }
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

/// A metric of a role, by the begin of its line.
async fn metric(ops: SocketAddr, line: &str) -> Option<f64> {
    let (_, text) = get(ops, "/metrics").await.ok()?;
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test]
async fn certificates_change_while_connections_stay_open() -> anyhow::Result<()> {
    let mut stage = stage(false).await?;
    let (grpc, gateway) = (stage.rig.grpc(), stage.rig.gateway()?);
    let folder = stage.folder.path();
    let channel = channel(grpc, &stage.authority, None).await?;
    let admin = stage.rig.first_admin_over(channel).await?;
    let token = admin.token("monitor", "").await?.secret;
    let http1 = stage.authority.client(&[b"http/1.1"])?;
    let h2 = stage.authority.client(&[b"h2"])?;
    let mut old = dial(gateway, &http1).await?;
    assert_eq!(shown(&old)?, &stage.certificates[0]);
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(dial(gateway, &h2).await?.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(send_over(&mut old, &token).await?.contains(" 202 "));

    let (_, renewed) = stage.authority.issue(folder, "http")?;
    let role = stage.rig.running(Role::Gateway(0))?;
    let ops = role.ops;
    role.process.signal(Signal::SIGHUP)?;
    shows(gateway, &http1, &renewed).await?;
    assert!(send_over(&mut old, &token).await?.contains(" 202 "), "the old connection goes on");
    let until = "gander_certificate_expiry_timestamp_seconds{listener=\"http\"}";
    assert!(metric(ops, until).await.context("expiry")? > 4e9, "rcgen's certificates last long");

    // Admin finds the change of its files by itself.
    let (_, renewed_grpc) = stage.authority.issue(folder, "grpc")?;
    shows(grpc, &h2, &renewed_grpc).await?;
    admin.team("team").await?;

    // A certificate with the key of another is refused, and the one before goes on.
    let (other, _) = stage.authority.issue(folder, "other")?;
    std::fs::copy(&other.key, folder.join("http.key"))?;
    stage.rig.running(Role::Gateway(0))?.process.signal(Signal::SIGHUP)?;
    e2e::wait::eventually("the bad pair to be refused", async || {
        let failed = "gander_certificate_reloads_total{listener=\"http\",result=\"failed\"}";
        metric(ops, failed).await.filter(|count| *count >= 1.0)
    })
    .await?;
    assert_eq!(shown(&dial(gateway, &http1).await?)?, &renewed);
    assert!(send_over(&mut old, &token).await?.contains(" 202 "));
    let log = stage.rig.running(Role::Gateway(0))?.process.log();
    assert!(log.contains("the new certificate is refused"), "{log}");
    assert!(!log.contains("PRIVATE KEY"));
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_is_a_lock_beside_the_credential() -> anyhow::Result<()> {
    let stage = stage(true).await?;
    let (grpc, folder) = (stage.rig.grpc(), stage.folder.path());
    let (mine, _) = stage.authority.issue(folder, "client")?;
    let foreign = Authority::new("somebody else")?.issue(folder, "foreign")?.0;
    let open = channel(grpc, &stage.authority, Some(&mine)).await?;
    let admin = stage.rig.first_admin_over(open.clone()).await?;
    admin.team("team").await?;
    let nobody = Admin::over(open, "")?.team("second").await.unwrap_err();
    assert_eq!(
        nobody.downcast_ref::<tonic::Status>().map(|s| s.code()),
        Some(Code::Unauthenticated)
    );
    for me in [None, Some(&foreign)] {
        // With TLS 1.3 a client learns that it is refused when it begins to read.
        let refused = match channel(grpc, &stage.authority, me).await {
            Ok(channel) => Admin::over(channel, &admin.credential)?.team("third").await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "{me:?}");
    }
    let credential = folder.join("credential");
    runtime::secret_file::write(&credential, &admin.credential)?;
    let ca = folder.join("ca.pem");
    let text = |path: &Path| path.display().to_string();
    let (server, ca, credential) = (format!("https://{grpc}"), text(&ca), text(&credential));
    let base =
        ["--server", &server, "--ca-file", &ca, "--credential-file", &credential, "team", "list"];
    let (code, said) = run(folder, None, &base).await?;
    assert!(code == 6 && said.contains("--client-cert"), "{code} {said}");
    let (certificate, key) = (text(&mine.certificate), text(&mine.key));
    let args = [&base[..], &["--client-cert", &certificate, "--client-key", &key]].concat();
    let (code, said) = run(folder, None, &args).await?;
    assert!(code == 0 && said.contains("team"), "{code} {said}");
    Ok(())
}

#[tokio::test]
async fn the_command_line_speaks_tls_and_says_what_to_do_where_it_cannot() -> anyhow::Result<()> {
    let mut stage = stage(false).await?;
    let (grpc, gateway) = (stage.rig.grpc(), stage.rig.gateway()?);
    let ops = stage.rig.running(Role::Admin)?.ops;
    let channel = channel(grpc, &stage.authority, None).await?;
    let admin = stage.rig.first_admin_over(channel).await?;
    let folder = stage.folder.path();
    let text = |name: &str| folder.join(name).display().to_string();
    runtime::secret_file::write(&folder.join("credential"), &admin.credential)?;
    let token = admin.token("monitor", "").await?.secret;
    runtime::secret_file::write(&folder.join("token"), &token)?;
    std::fs::write(folder.join("alert.json"), payload("firing", "a"))?;
    stage.authority.write(&folder.join("ca.pem"))?;
    Authority::new("somebody else")?.write(&folder.join("foreign.pem"))?;
    let (credential, token) = (text("credential"), text("token"));
    let check = async |url: String, ca: &str, code: i32, says: [&str; 2]| {
        let ca = text(ca);
        let list = ["--credential-file", &credential, "--server", &url, "team", "list"];
        let send = ["send", "--token-file", &token, "--gateway", &url, "alert.json"];
        for (args, says) in [&list[..], &send[..]].into_iter().zip(says) {
            if !says.is_empty() {
                let args = [&["--ca-file", &ca], args].concat();
                let (ended, said) = run(folder, None, &args).await?;
                assert!(ended == code && said.contains(says), "{args:?}: {ended} {said}");
            }
        }
        anyhow::Ok(())
    };
    check(format!("https://{grpc}"), "ca.pem", 0, ["TEAM", ""]).await?;
    check(format!("https://{gateway}"), "ca.pem", 0, ["", "202"]).await?;
    check(format!("https://{grpc}"), "foreign.pem", 6, ["say --ca-file", ""]).await?;
    check(format!("https://{gateway}"), "foreign.pem", 6, ["", "say --ca-file"]).await?;
    check(format!("http://{grpc}"), "ca.pem", 6, ["say https://", ""]).await?;
    check(format!("http://{gateway}"), "ca.pem", 6, ["", "say https://"]).await?;
    check(format!("https://{ops}"), "ca.pem", 6, ["no TLS at that port"; 2]).await?;
    let nothing = e2e::rig::free_address()?;
    check(format!("https://{nothing}"), "ca.pem", 6, ["is it running?"; 2]).await?;
    check(format!("https://{gateway}"), "ca.pem", 1, ["the port of gRPC", ""]).await?;
    check(format!("https://{grpc}"), "ca.pem", 6, ["", "the port of alerts"]).await?;
    // Nobody is asked: the secret stays here.
    check("http://192.0.2.1:7700".to_owned(), "ca.pem", 2, ["--insecure"; 2]).await?;
    check("ftp://localhost".to_owned(), "ca.pem", 2, ["begins with https:// or http://", ""]).await
}

/// A greeting by a client that knows nothing newer than TLS 1.1.
fn hello_of_tls_1_1() -> Vec<u8> {
    let hello = [
        &[3, 2][..],      // the version, 1.1
        &[7; 32],         // its random bytes
        &[0],             // no session
        &[0, 2, 0, 0x2f], // one cipher suite: RSA with AES-128
        &[1, 0],          // no compression
    ]
    .concat();
    let length = u8::try_from(hello.len()).expect("it is short");
    let message = [&[1, 0, 0, length][..], &hello].concat();
    [&[22, 3, 1, 0, length + 4][..], &message].concat()
}

#[tokio::test]
async fn what_is_no_tls_1_2_is_refused_and_silence_is_cut_off() -> anyhow::Result<()> {
    let mut stage = stage(false).await?;
    for address in [stage.rig.gateway()?, stage.rig.grpc()] {
        let talk = async |bytes: &[u8]| {
            let mut socket = TcpStream::connect(address).await?;
            socket.write_all(bytes).await?;
            let mut answer = Vec::new();
            // Closed with what was sent unread, the connection is reset.
            let _ = timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await?;
            anyhow::Ok(answer)
        };
        let answer = talk(b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n").await?;
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP/"), "{answer:?}");
        // An alert (21) of TLS that is fatal (2), and no greeting (22) of the server before it.
        let answer = talk(&hello_of_tls_1_1()).await?;
        assert_eq!((answer.first(), answer.get(5)), (Some(&21), Some(&2)), "{answer:?}");
        let started = Instant::now();
        assert_eq!(talk(b"").await?, b"");
        let took = started.elapsed();
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
    }
    Ok(())
}
