//! APPEND (RFC 3501 §6.3.11; APPENDUID, RFC 4315 §3).

use bytes::Bytes;
use provost_store::{Effect, Op};

use crate::codec::Reply;
use crate::codec::command;
use crate::world::{World, refused};

/// APPEND.
pub(crate) async fn append(world: &World<'_>, append: command::Append) -> Reply {
    let Some(mailbox) = append.mailbox else { return Reply::no("NONEXISTENT", "No such mailbox") };
    if append.message.is_empty() {
        // RFC 3502 §6.3.11: an empty literal gives the APPEND up.
        return Reply::no("CANNOT", "A message cannot be empty");
    }
    let op = Op::Append {
        mailbox,
        create: false,
        body: with_crlf(append.message),
        flags: append.flags,
        internal_date: append.date.unwrap_or(world.now),
    };
    match world.apply_once(world.quota(), vec![op]).await {
        Err(error) => refused(error, "TRYCREATE"),
        Ok(applied) => {
            let done = Reply::ok("APPEND completed");
            match applied.effects.into_iter().next() {
                Some(Effect::Appended { uid_validity, uid, .. }) => {
                    done.with_code(format!("APPENDUID {} {}", uid_validity.0, uid.0))
                }
                _ => done,
            }
        }
    }
}

/// In the store every LF ends a line and has its CR: SMTP, POP3 and the offsets of `BODY[n]` rely on it. Clients that copy
/// from a file with bare LF get them mended; others pay nothing. A CR that no LF follows ends no line, and stays: a message
/// is not changed more than its lines need.
fn with_crlf(message: Bytes) -> Bytes {
    let follows_cr = |at: usize| at.checked_sub(1).and_then(|before| message.get(before)) == Some(&b'\r');
    if message.iter().enumerate().all(|(at, octet)| *octet != b'\n' || follows_cr(at)) {
        return message;
    }
    let mut mended = Vec::with_capacity(message.len() + message.len() / 32);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                mended.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                mended.extend_from_slice(b"\r\n");
            }
            None => mended.extend_from_slice(line),
        }
    }
    mended.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mends_line_ends() {
        for (message, expect) in [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb", "a\r\nb"),
            ("a\rb\r", "a\rb\r"),
            ("a\rb\n\rc\r\n", "a\rb\r\n\rc\r\n"),
            ("\n\r\n\r\r\n", "\r\n\r\n\r\r\n"),
        ] {
            assert_eq!(with_crlf(Bytes::from_static(message.as_bytes())), expect);
        }
    }
}
