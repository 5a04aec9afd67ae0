//! APPEND (RFC 3501 §6.3.11; APPENDUID, RFC 4315 §3).

use provost_store::{Op, OpEffect};

use crate::codec::StatusResponse;
use crate::codec::command;
use crate::context::{CommandContext, bad_name, refused};

/// Handles APPEND (RFC 3501 §6.3.11): stores the message and replies with its APPENDUID.
pub(crate) async fn append(context: &CommandContext<'_>, append: command::AppendArguments) -> StatusResponse {
    let Some(mailbox) = append.mailbox else { return bad_name() };
    if append.message.is_empty() {
        // RFC 3502 §6.3.11: with an empty literal, the client cancels the APPEND.
        return StatusResponse::no("CANNOT", "A message cannot be empty");
    }
    if !has_crlf_only(&append.message) {
        return StatusResponse::no("CANNOT", "The message has a line that ends with LF alone, without CR");
    }
    let op = Op::Append {
        mailbox,
        create: false,
        body: append.message,
        flags: append.flags,
        internal_date: append.date.unwrap_or(context.now),
    };
    match context.apply_once(context.quota(), vec![op]).await {
        Err(error) => refused(error, "TRYCREATE"),
        Ok(applied) => {
            let ok = StatusResponse::ok("APPEND completed");
            match applied.effects.into_iter().next() {
                Some(OpEffect::Appended { uid_validity, uid, .. }) => {
                    ok.with_code(format!("APPENDUID {} {}", uid_validity.get(), uid.get()))
                }
                _ => ok,
            }
        }
    }
}

/// Whether a CR precedes every LF (RFC 3501 §6.3.11, RFC 5322 §2.3). SMTP, POP3 and the offsets of `BODY[n]` rely on
/// this. A message with a bare LF is refused, not converted: migration tools compare the fetched message with the
/// appended one, and would append a converted message again and again. A CR without LF is against RFC 5322 too, but it
/// ends no line, so it is accepted.
fn has_crlf_only(message: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', message)
        .all(|at| at.checked_sub(1).and_then(|before| message.get(before)) == Some(&b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_bare_lf() {
        for (message, expect) in [
            ("", true),
            ("a\r\nb\r\n", true),
            ("a\rb\r", true),
            ("a\nb", false),
            ("a\rb\n\rc\r\n", false),
            ("\n\r\n\r\r\n", false),
            ("a\r\nb\n", false),
        ] {
            assert_eq!(has_crlf_only(message.as_bytes()), expect, "{message:?}");
        }
    }
}
