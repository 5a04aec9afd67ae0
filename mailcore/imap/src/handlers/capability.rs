//! CAPABILITY, ID, ENABLE, NAMESPACE, IDLE, LOGOUT: commands that need neither directory nor store.

use provost_net::OutputBuffer;

use crate::codec::StatusResponse;
use crate::connection::Connection;
use crate::state::{Completion, Continuation};

/// The capabilities of every connection, the same before and after login: some clients ask only once.
const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN \
    SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH";

/// The capabilities that this connection allows now (RFC 3501 §6.1.1).
pub(crate) fn capabilities(connection: &Connection) -> String {
    let mut capabilities = CAPABILITIES.to_owned();
    if connection.can_start_tls() {
        capabilities.push_str(" STARTTLS");
    }
    capabilities.push_str(if connection.may_log_in() { " AUTH=PLAIN AUTH=LOGIN" } else { " LOGINDISABLED" });
    capabilities
}

/// CAPABILITY (RFC 3501 §6.1.1).
pub(crate) fn capability(connection: &Connection, out: &mut OutputBuffer<'_>) -> StatusResponse {
    out.put(format!("* CAPABILITY {}\r\n", capabilities(connection)));
    StatusResponse::ok("CAPABILITY completed")
}

/// ID (RFC 2971 §3.1).
pub(crate) fn id(out: &mut OutputBuffer<'_>) -> StatusResponse {
    out.put(format!("* ID (\"name\" \"Provost\" \"version\" \"{}\")\r\n", env!("CARGO_PKG_VERSION")));
    StatusResponse::ok("ID completed")
}

/// LOGOUT (RFC 3501 §6.1.3).
pub(crate) fn logout(out: &mut OutputBuffer<'_>) -> Completion {
    out.put("* BYE Logging out\r\n");
    Completion::Close(StatusResponse::ok("LOGOUT completed"))
}

/// ENABLE (RFC 5161 §3.1): enables nothing, as no extension here has to be enabled.
pub(crate) fn enable(out: &mut OutputBuffer<'_>) -> StatusResponse {
    out.put("* ENABLED\r\n");
    StatusResponse::ok("ENABLE completed")
}

/// NAMESPACE (RFC 2342 §5): one personal namespace.
pub(crate) fn namespace(out: &mut OutputBuffer<'_>) -> StatusResponse {
    out.put("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    StatusResponse::ok("NAMESPACE completed")
}

/// IDLE (RFC 2177 §3): lasts until the client's next line.
pub(crate) fn idle(tag: &str, out: &mut OutputBuffer<'_>) -> Completion {
    out.put("+ idling\r\n");
    Completion::Wait(Continuation::Idle { tag: tag.into() })
}
