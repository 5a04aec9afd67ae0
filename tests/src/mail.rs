//! Sends and reads mail as an external client does, given the address of a listener; no [`crate::Node`] is needed.

use std::net::SocketAddr;

use anyhow::{anyhow, bail, ensure};

use crate::TextClient;
use crate::conversation::base64;

/// Sends an SMTP or LMTP command and returns the last line of the reply.
pub fn reply(line: &mut TextClient, command: &str) -> anyhow::Result<String> {
    line.send_line(command)?;
    last(line)
}

fn last(line: &mut TextClient) -> anyhow::Result<String> {
    while let Some(answer) = line.next()? {
        if answer.as_bytes().get(3) != Some(&b'-') {
            return Ok(answer);
        }
    }
    bail!("the peer closed")
}

fn expect(line: &mut TextClient, command: &str, code: &str) -> anyhow::Result<()> {
    let answer = reply(line, command)?;
    ensure!(answer.starts_with(code), "to '{command}': {answer}");
    Ok(())
}

/// A connection after EHLO or LHLO, and whether the listener speaks LMTP.
fn hello(address: SocketAddr) -> anyhow::Result<(TextClient, bool)> {
    let mut line = TextClient::open(address)?;
    let is_lmtp = last(&mut line)?.contains("LMTP");
    let verb = if is_lmtp { "LHLO" } else { "EHLO" };
    expect(&mut line, &format!("{verb} client.example.net"), "250")?;
    Ok((line, is_lmtp))
}

fn authenticate(line: &mut TextClient, (user, password): (&str, &str)) -> anyhow::Result<String> {
    reply(line, &format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}").as_bytes())))
}

/// Sends a message; `login` is for submission. An error unless every recipient is accepted.
pub fn send(
    address: SocketAddr,
    login: Option<(&str, &str)>,
    from: &str,
    to: &[&str],
    text: &str,
) -> anyhow::Result<()> {
    let (mut line, is_lmtp) = hello(address)?;
    if let Some(login) = login {
        let answer = authenticate(&mut line, login)?;
        ensure!(answer.starts_with("235"), "to AUTH: {answer}");
    }
    expect(&mut line, &format!("MAIL FROM:<{from}>"), "250")?;
    for recipient in to {
        expect(&mut line, &format!("RCPT TO:<{recipient}>"), "250")?;
    }
    expect(&mut line, "DATA", "354")?;
    let stuffed = text.replace("\r\n.", "\r\n..");
    // SMTP has one final reply, LMTP one for each recipient (RFC 2033 §4.2).
    expect(&mut line, &format!("{}\r\n.", stuffed.strip_suffix("\r\n").unwrap_or(&stuffed)), "250")?;
    for _ in 1..if is_lmtp { to.len() } else { 1 } {
        let answer = last(&mut line)?;
        ensure!(answer.starts_with("250"), "message refused: {answer}");
    }
    expect(&mut line, "QUIT", "221")
}

/// The reply to RCPT for an address.
pub fn recipient(address: SocketAddr, to: &str) -> anyhow::Result<String> {
    let (mut line, _) = hello(address)?;
    expect(&mut line, "MAIL FROM:<asker@example.net>", "250")?;
    reply(&mut line, &format!("RCPT TO:<{to}>"))
}

/// Whether IMAP accepts a login. An error when the answer is neither acceptance nor refusal.
pub fn logs_in_by_imap(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<bool> {
    let mut line = TextClient::open(address)?;
    line.until(&["* OK"])?;
    let answer = line.ask(&format!("a LOGIN \"{user}\" \"{password}\""), &["a "])?;
    match answer.last() {
        Some(last) if last.starts_with("a OK") => Ok(true),
        Some(last) if last.starts_with("a NO [AUTHENTICATIONFAILED]") => Ok(false),
        other => bail!("to LOGIN: {other:?}"),
    }
}

/// Whether POP3 accepts a login.
pub fn logs_in_by_pop3(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<bool> {
    let mut line = TextClient::open(address)?;
    line.until(&["+OK"])?;
    line.ask(&format!("USER {user}"), &["+OK"])?;
    let answer = line.ask(&format!("PASS {password}"), &["+OK", "-ERR"])?;
    match answer.last() {
        Some(last) if last.starts_with("+OK") => {
            // Without QUIT the next login could find the maildrop in use.
            line.ask("QUIT", &["+OK"])?;
            Ok(true)
        }
        Some(last) if last.starts_with("-ERR [AUTH]") => Ok(false),
        other => bail!("to PASS: {other:?}"),
    }
}

/// Whether submission accepts a login.
pub fn logs_in_by_submission(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<bool> {
    let (mut line, _) = hello(address)?;
    let answer = authenticate(&mut line, (user, password))?;
    match answer.get(..3) {
        Some("235") => Ok(true),
        Some("535") => Ok(false),
        _ => bail!("to AUTH: {answer}"),
    }
}

/// All messages of a person's INBOX, oldest first, by IMAP.
pub fn inbox(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<Vec<String>> {
    let mut line = TextClient::open(address)?;
    line.until(&["* OK"])?;
    line.ask(&format!("a LOGIN \"{user}\" \"{password}\""), &["a OK"])?;
    let selected = line.ask("b EXAMINE INBOX", &["b OK"])?;
    if selected.iter().any(|answer| answer == "* 0 EXISTS") {
        return Ok(Vec::new());
    }
    line.send_line("c FETCH 1:* BODY.PEEK[]")?;
    let mut messages = Vec::new();
    loop {
        let answer = line.next()?.ok_or_else(|| anyhow!("the peer closed"))?;
        if answer.starts_with("c ") {
            ensure!(answer.starts_with("c OK"), "to FETCH: {answer}");
            return Ok(messages);
        }
        let octets = answer.rsplit_once('{').and_then(|(_, end)| end.strip_suffix('}')?.parse().ok());
        if let Some(octets) = octets {
            messages.push(String::from_utf8_lossy(&line.octets(octets)?).into_owned());
        }
    }
}
