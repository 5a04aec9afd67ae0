//! Requests to the REST API of the running node.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, RustlsConnector, TcpConnector, Transport};

use crate::config::{Config, read_secret};

/// Longest time for the node to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// PROXY version 2, command LOCAL, without addresses (PROXY protocol §2.2): the sender connects for itself.
pub(super) const PROXY_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Begins a connection to the node with [`PROXY_LOCAL`] where its listener demands that.
#[derive(Debug)]
struct NodeConnector {
    is_proxied: bool,
}

impl<In: Transport> Connector<In> for NodeConnector {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails<'_>, connection: Option<In>) -> Result<Option<In>, ureq::Error> {
        let Some(mut connection) = connection else { return Ok(None) };
        if self.is_proxied
            && let Some(output) = connection.buffers().output().get_mut(..PROXY_LOCAL.len())
        {
            output.copy_from_slice(PROXY_LOCAL);
            connection.transmit_output(PROXY_LOCAL.len(), details.timeout)?;
        }
        Ok(Some(connection))
    }
}

/// Sends one GET for `path`, such as `/queue?limit=20`, and returns the JSON answer. The request has the token of
/// `--token-file` if there is one, else the node's own. Fails when no listener or token is configured, no node answers,
/// or the node refuses; the error says which.
pub(crate) async fn get(config: &Config, path: &str) -> anyhow::Result<Value> {
    let http = config.listeners.http.as_ref().context("listeners.http is off, so the node cannot answer")?;
    let file =
        config.token_for_role.as_ref().or(config.api.token_file.as_ref()).context("api.token_file is not set")?;
    let token = read_secret(file)?;
    let scheme = if http.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}/api/v1{path}", http.address);
    let connector = NodeConnector { is_proxied: config.listeners.is_own_address_proxied(http) };
    tokio::task::spawn_blocking(move || request(&url, &token, connector)).await?
}

fn request(url: &str, token: &str, connector: NodeConnector) -> anyhow::Result<Value> {
    // The request goes to an address of this machine, which the node's certificate does not name. As with plain HTTP,
    // only a program that listens there in the node's place could read the token.
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    // No proxy of the environment: it would see the token, and cannot reach a loopback address of this machine.
    let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER_LIMIT)).tls_config(tls).proxy(None).build();
    let connector = ().chain(TcpConnector::default()).chain(connector).chain(RustlsConnector::default());
    let agent = ureq::Agent::with_parts(agent, connector, DefaultResolver::default());
    let mut answer = match agent.get(url).header("Authorization", format!("Bearer {token}")).call() {
        Ok(answer) => answer,
        Err(ureq::Error::StatusCode(status)) => bail!("{url}: the node answers with status {status}"),
        Err(error) => return Err(error).with_context(|| format!("{url}: is the node running?")),
    };
    Ok(answer.body_mut().read_json()?)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_error_of_a_refusal_names_the_status() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/v1/status", listener.local_addr().unwrap());
        let node = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
            while !lines.next().unwrap().unwrap().is_empty() {}
            socket.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        let error = request(&url, "token", NodeConnector { is_proxied: false }).unwrap_err();
        node.join().unwrap();
        assert_eq!(format!("{error:#}"), format!("{url}: the node answers with status 403"));
    }

    #[test]
    fn a_listener_behind_a_balancer_gets_its_header_first() {
        for is_proxied in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let node = std::thread::spawn(move || {
                let (socket, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(socket);
                let mut header = vec![0; if is_proxied { PROXY_LOCAL.len() } else { 0 }];
                reader.read_exact(&mut header).unwrap();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
                reader.get_mut().write_all(reply).unwrap();
                (header, line)
            });
            let url = format!("http://{address}/api/v1/status");
            let answer = request(&url, "token", NodeConnector { is_proxied }).unwrap();
            let (header, line) = node.join().unwrap();
            assert_eq!((answer, line.as_str()), (serde_json::json!({}), "GET /api/v1/status HTTP/1.1\r\n"));
            assert_eq!(header == PROXY_LOCAL, is_proxied);
        }
    }
}
