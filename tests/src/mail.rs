//! Sends and reads mail as an external client does, given the address of a listener.

use std::net::SocketAddr;

use anyhow::{anyhow, bail, ensure};

use crate::TextClient;
use crate::conversation::base64;

/// Sends an SMTP or LMTP command and returns the last line of the reply.
pub fn reply(client: &mut TextClient, command: &str) -> anyhow::Result<String> {
    client.send_line(command)?;
    last_line(client)
}

/// The last line of the next reply.
fn last_line(client: &mut TextClient) -> anyhow::Result<String> {
    while let Some(answer) = client.next()? {
        if answer.as_bytes().get(3) != Some(&b'-') {
            return Ok(answer);
        }
    }
    bail!("the peer closed")
}

fn expect(client: &mut TextClient, command: &str, code: &str) -> anyhow::Result<()> {
    let answer = reply(client, command)?;
    ensure!(answer.starts_with(code), "to '{command}': {answer}");
    Ok(())
}

/// A connection after EHLO or LHLO, and whether the listener speaks LMTP.
fn hello(address: SocketAddr) -> anyhow::Result<(TextClient, bool)> {
    let mut client = TextClient::open(address)?;
    let is_lmtp = last_line(&mut client)?.contains("LMTP");
    let verb = if is_lmtp { "LHLO" } else { "EHLO" };
    expect(&mut client, &format!("{verb} client.example.net"), "250")?;
    Ok((client, is_lmtp))
}

fn authenticate(client: &mut TextClient, (user, password): (&str, &str)) -> anyhow::Result<String> {
    reply(client, &format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}").as_bytes())))
}

/// Sends a message; `login`, a name and a password, is for submission. An error unless all recipients and the message
/// are accepted.
pub fn send(
    address: SocketAddr,
    login: Option<(&str, &str)>,
    from: &str,
    recipients: &[&str],
    text: &str,
) -> anyhow::Result<()> {
    let (mut client, is_lmtp) = hello(address)?;
    if let Some(login) = login {
        let answer = authenticate(&mut client, login)?;
        ensure!(answer.starts_with("235"), "to AUTH: {answer}");
    }
    expect(&mut client, &format!("MAIL FROM:<{from}>"), "250")?;
    for recipient in recipients {
        expect(&mut client, &format!("RCPT TO:<{recipient}>"), "250")?;
    }
    expect(&mut client, "DATA", "354")?;
    // SMTP has one final reply, LMTP one for each accepted recipient (RFC 2033 §4.2).
    expect(&mut client, &format!("{}\r\n.", dot_stuffed(text)), "250")?;
    for _ in 1..if is_lmtp { recipients.len() } else { 1 } {
        let answer = last_line(&mut client)?;
        ensure!(answer.starts_with("250"), "message refused: {answer}");
    }
    expect(&mut client, "QUIT", "221")
}

/// A message with dot-stuffing (RFC 5321 §4.5.2), without its last line end.
fn dot_stuffed(text: &str) -> String {
    let stuffed = text.strip_suffix("\r\n").unwrap_or(text).replace("\r\n.", "\r\n..");
    if stuffed.starts_with('.') { format!(".{stuffed}") } else { stuffed }
}

/// The reply to RCPT for a recipient.
pub fn rcpt_reply(address: SocketAddr, recipient: &str) -> anyhow::Result<String> {
    let (mut client, _) = hello(address)?;
    expect(&mut client, "MAIL FROM:<asker@example.net>", "250")?;
    reply(&mut client, &format!("RCPT TO:<{recipient}>"))
}

/// The reply to RCPT for a recipient, from a person who has logged in to submission.
pub fn rcpt_reply_as(address: SocketAddr, login: (&str, &str), from: &str, recipient: &str) -> anyhow::Result<String> {
    let (mut client, _) = hello(address)?;
    let answer = authenticate(&mut client, login)?;
    ensure!(answer.starts_with("235"), "to AUTH: {answer}");
    expect(&mut client, &format!("MAIL FROM:<{from}>"), "250")?;
    reply(&mut client, &format!("RCPT TO:<{recipient}>"))
}

/// Whether IMAP accepts a login; an error when it neither accepts nor refuses the password.
pub fn logs_in_by_imap(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<bool> {
    let mut client = TextClient::open(address)?;
    client.until(&["* OK"])?;
    let answer = client.ask(&format!("a LOGIN \"{user}\" \"{password}\""), &["a "])?;
    match answer.last() {
        Some(last) if last.starts_with("a OK") => Ok(true),
        Some(last) if last.starts_with("a NO [AUTHENTICATIONFAILED]") => Ok(false),
        other => bail!("to LOGIN: {other:?}"),
    }
}

/// Whether POP3 accepts a login; an error when it neither accepts nor refuses the password.
pub fn logs_in_by_pop3(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<bool> {
    let mut client = TextClient::open(address)?;
    client.until(&["+OK"])?;
    client.ask(&format!("USER {user}"), &["+OK"])?;
    let answer = client.ask(&format!("PASS {password}"), &["+OK", "-ERR"])?;
    match answer.last() {
        Some(last) if last.starts_with("+OK") => {
            // Without QUIT the next login could find the maildrop in use.
            client.ask("QUIT", &["+OK"])?;
            Ok(true)
        }
        Some(last) if last.starts_with("-ERR [AUTH]") => Ok(false),
        other => bail!("to PASS: {other:?}"),
    }
}

/// Whether submission accepts a login; an error when it neither accepts nor refuses the password.
pub fn logs_in_by_submission(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<bool> {
    let (mut client, _) = hello(address)?;
    let answer = authenticate(&mut client, (user, password))?;
    match answer.get(..3) {
        Some("235") => Ok(true),
        Some("535") => Ok(false),
        _ => bail!("to AUTH: {answer}"),
    }
}

/// All messages of a person's INBOX, oldest first, by IMAP.
pub fn inbox(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<Vec<String>> {
    let mut client = TextClient::open(address)?;
    client.until(&["* OK"])?;
    client.ask(&format!("a LOGIN \"{user}\" \"{password}\""), &["a OK"])?;
    let selected = client.ask("b EXAMINE INBOX", &["b OK"])?;
    if selected.iter().any(|answer| answer == "* 0 EXISTS") {
        return Ok(Vec::new());
    }
    client.send_line("c FETCH 1:* BODY.PEEK[]")?;
    let mut messages = Vec::new();
    loop {
        let answer = client.next()?.ok_or_else(|| anyhow!("the peer closed"))?;
        if answer.starts_with("c ") {
            ensure!(answer.starts_with("c OK"), "to FETCH: {answer}");
            return Ok(messages);
        }
        let octets = answer.rsplit_once('{').and_then(|(_, end)| end.strip_suffix('}')?.parse().ok());
        if let Some(octets) = octets {
            messages.push(String::from_utf8_lossy(&client.octets(octets)?).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_that_begins_with_a_dot_gets_another() {
        assert_eq!(dot_stuffed(".one\r\n.\r\n..two\r\nthree.\r\n"), "..one\r\n..\r\n...two\r\nthree.");
    }
}
