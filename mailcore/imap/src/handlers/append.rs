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

/// The store holds CRLF line ends only: SMTP, POP3 and the offsets of `BODY[n]` rely on it. Clients that copy from a
/// file with bare LF get them mended; others pay nothing.
fn with_crlf(message: Bytes) -> Bytes {
    let is_sound = |at: usize, octet: u8| match octet {
        b'\n' => at.checked_sub(1).and_then(|before| message.get(before)) == Some(&b'\r'),
        b'\r' => message.get(at + 1) == Some(&b'\n'),
        _ => true,
    };
    if message.iter().enumerate().all(|(at, octet)| is_sound(at, *octet)) {
        return message;
    }
    let mut mended = Vec::with_capacity(message.len() + message.len() / 32);
    let mut octets = message.iter().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if(|next| **next == b'\n');
                mended.extend_from_slice(b"\r\n");
            }
            b'\n' => mended.extend_from_slice(b"\r\n"),
            other => mended.push(*other),
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
            ("a\rb\r", "a\r\nb\r\n"),
            ("\n\r\n\r\r\n", "\r\n\r\n\r\n\r\n"),
        ] {
            assert_eq!(with_crlf(Bytes::from_static(message.as_bytes())), expect);
        }
    }
}
