//! CAPABILITY, ID, ENABLE, NAMESPACE, LOGOUT: what is told about ourselves.

use provost_net::Output;

use crate::codec::Reply;
use crate::session::{Answer, ImapSession};

/// The same before and after login: clients exist that ask only once.
const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN \
    SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH";

/// RFC 3501 §6.1.1, with what this connection allows now.
pub(crate) fn capabilities(session: &ImapSession) -> String {
    let mut words = CAPABILITIES.to_owned();
    if session.can_start_tls() {
        words.push_str(" STARTTLS");
    }
    words.push_str(if session.may_log_in() { " AUTH=PLAIN AUTH=LOGIN" } else { " LOGINDISABLED" });
    words
}

/// CAPABILITY (RFC 3501 §6.1.1).
pub(crate) fn capability(session: &ImapSession, out: &mut Output<'_>) -> Answer {
    out.put(format!("* CAPABILITY {}\r\n", capabilities(session)));
    Answer::Reply(Reply::ok("CAPABILITY completed"))
}

/// ID (RFC 2971 §3.1).
pub(crate) fn id(out: &mut Output<'_>) -> Answer {
    out.put(format!("* ID (\"name\" \"Provost\" \"version\" \"{}\")\r\n", env!("CARGO_PKG_VERSION")));
    Answer::Reply(Reply::ok("ID completed"))
}

/// LOGOUT (RFC 3501 §6.1.3).
pub(crate) fn logout(out: &mut Output<'_>) -> Answer {
    out.put("* BYE Logging out\r\n");
    Answer::Close(Reply::ok("LOGOUT completed"))
}

/// ENABLE (RFC 5161 §3.1): nothing of ours needs it.
pub(crate) fn enable(out: &mut Output<'_>) -> Reply {
    out.put("* ENABLED\r\n");
    Reply::ok("ENABLE completed")
}

/// NAMESPACE (RFC 2342 §5): one personal namespace.
pub(crate) fn namespace(out: &mut Output<'_>) -> Reply {
    out.put("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    Reply::ok("NAMESPACE completed")
}
