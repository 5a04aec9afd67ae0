//! An HTTP/1.1 client with one connection per request, so that requests can run at the same time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Longest wait for the next octets of a response: longer than an import may `?wait=` for its end.
const RESPONSE_LIMIT: Duration = Duration::from_secs(90);

/// An HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// The method: GET, PUT, ...
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Header lines without their line ends.
    pub headers: &'a [&'a str],
    /// The body; empty for none.
    pub body: &'a str,
}

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status code: 200, 412, ...
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    /// The body as sent; a chunked body is not decoded.
    pub body: String,
}

impl HttpResponse {
    /// The value of a header; empty when the header is missing.
    pub fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).unwrap_or_default()
    }

    /// The text between the first `before` and the next `after` in the body; empty when one is missing.
    pub fn between(&self, before: &str, after: &str) -> &str {
        let rest = self.body.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        rest.map(|(found, _)| found).unwrap_or_default()
    }
}

/// Sends one request and reads the response to its end.
pub fn send(address: SocketAddr, request: HttpRequest<'_>) -> anyhow::Result<HttpResponse> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(RESPONSE_LIMIT))?;
    let HttpRequest { method, path, headers, body } = request;
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {more}\r\n{body}"
    );
    stream.write_all(text.as_bytes())?;
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets)?;
    let text = String::from_utf8_lossy(&octets);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no end of headers: {text}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok(HttpResponse { status, head: head.to_owned(), body: body.to_owned() })
}

/// A resource that two writers change at the same time.
pub enum Race<'a> {
    /// The vacation rule of a person.
    Vacation(&'a str),
    /// A setting whose value is a number of octets.
    Setting(&'a str),
}

impl Race<'_> {
    /// The path for GET, whose response has the ETag.
    fn read(&self) -> String {
        match self {
            Self::Vacation(person) => format!("/api/v1/people/{person}"),
            Self::Setting(name) => format!("/api/v1/settings/{name}"),
        }
    }

    /// The path and the body of a PUT.
    fn write(&self, round: usize, writer: usize) -> (String, String) {
        match self {
            Self::Vacation(_) => {
                (format!("{}/vacation", self.read()), format!(r#"{{"text_fr":"rang {round} de {writer}"}}"#))
            }
            Self::Setting(_) => (self.read(), format!(r#"{{"values":["{}"]}}"#, 50_000_000 + 2 * round + writer)),
        }
    }
}

/// Sends two PUTs at once with the same ETag: in each round one must succeed and one must be refused.
pub fn two_puts_with_one_etag(http: SocketAddr, token: &str, race: &Race<'_>, rounds: usize) -> anyhow::Result<()> {
    let bearer = format!("Authorization: Bearer {token}");
    for round in 0..rounds {
        let current = send(http, HttpRequest { method: "GET", path: &race.read(), headers: &[&bearer], body: "" })?;
        let etag = current.header("etag");
        ensure!(current.status == 200 && !etag.is_empty(), "{current:?}");
        let if_match = format!("If-Match: {etag}");
        let put = |writer: usize| {
            let headers = [&*bearer, &*if_match, "Content-Type: application/json"];
            let (path, body) = race.write(round, writer);
            send(http, HttpRequest { method: "PUT", path: &path, headers: &headers, body: &body })
        };
        let both = std::thread::scope(|scope| {
            let one = scope.spawn(|| put(0));
            let two = scope.spawn(|| put(1));
            (one.join(), two.join())
        });
        let (Ok(one), Ok(two)) = both else { anyhow::bail!("a request panicked") };
        let mut statuses = [one?.status, two?.status];
        statuses.sort_unstable();
        ensure!(statuses == [200, 412], "round {round}: {statuses:?}");
    }
    println!("{rounds} pairs of PUTs of {} with one ETag: one 200 and one 412 each time", race.read());
    Ok(())
}

/// The body of a resource; an error unless the status is 200.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let response = send(address, HttpRequest { method: "GET", path, headers: &[], body: "" })?;
    ensure!(response.status == 200, "GET {path}: {}", response.head);
    Ok(response.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_only_between_both_marks() {
        let body = r#"{"done":3,"left":4}"#.to_owned();
        let response = HttpResponse { status: 200, head: String::new(), body };
        assert_eq!(response.between("\"done\":", ","), "3");
        assert_eq!(response.between("\"left\":", ","), "");
        assert_eq!(response.between("\"total\":", ","), "");
    }
}
