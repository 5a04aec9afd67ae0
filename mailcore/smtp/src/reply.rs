//! The replies of the server (RFC 5321 §4.2, RFC 2034).

pub(crate) use provost_message::SmtpReply as Reply;

pub(crate) const BYE: Reply = Reply::of(221, "2.0.0", "Bye");
pub(crate) const OK: Reply = Reply::of(250, "2.0.0", "OK");
pub(crate) const SENDER_OK: Reply = Reply::of(250, "2.1.0", "Sender OK");
pub(crate) const RECIPIENT_OK: Reply = Reply::of(250, "2.1.5", "Recipient OK");
pub(crate) const READY_FOR_TLS: Reply = Reply::of(220, "2.0.0", "Ready to start TLS");
pub(crate) const LOGGED_IN: Reply = Reply::of(235, "2.7.0", "Authentication successful");
pub(crate) const CANNOT_VERIFY: Reply =
    Reply::of(252, "2.0.0", "Not verified; RCPT shows whether the recipient is accepted");
pub(crate) const HELP: Reply =
    Reply::of(214, "2.0.0", "MAIL RCPT DATA RSET NOOP QUIT VRFY HELP, and the extensions that EHLO or LHLO lists");
pub(crate) const TOO_MANY_COMMANDS: Reply = Reply::of(421, "4.7.0", "Too many commands without a message");
pub(crate) const TOO_MANY_ERRORS: Reply = Reply::of(421, "4.7.0", "Too many errors");
pub(crate) const REVOKED: Reply = Reply::of(421, "4.7.0", "Login revoked: the account or its password was changed");
pub(crate) const NOT_HTTP: Reply = Reply::of(421, "4.7.0", "This is SMTP, not HTTP");
pub(crate) const TRY_LATER: Reply = Reply::of(451, "4.3.0", "Cannot be done now, try again later");
pub(crate) const NO_ROOM: Reply = Reply::of(452, "4.3.1", "Too many messages at once, try again later");
pub(crate) const TOO_MANY_RECIPIENTS: Reply = Reply::of(452, "4.5.3", "Too many recipients");
pub(crate) const LOGIN_UNAVAILABLE: Reply = Reply::of(454, "4.7.0", "Cannot authenticate now, try again later");
pub(crate) const LOGIN_THROTTLED: Reply = Reply::of(454, "4.7.0", "Too many refused logins, try again later");
pub(crate) const LINE_TOO_LONG: Reply = Reply::of(500, "5.5.2", "Line too long");
pub(crate) const BAD_LINE: Reply = Reply::of(500, "5.5.2", "A command is one line of ASCII that ends in CRLF");
pub(crate) const UNKNOWN_COMMAND: Reply = Reply::of(500, "5.5.1", "Command not recognized");
pub(crate) const BAD_ARGUMENT: Reply = Reply::of(501, "5.5.4", "Syntax error in parameters");
pub(crate) const BAD_SENDER: Reply = Reply::of(501, "5.1.7", "Not a reverse-path");
pub(crate) const BAD_RECIPIENT: Reply = Reply::of(501, "5.1.3", "Not a forward-path");
pub(crate) const AUTH_CANCELLED: Reply = Reply::of(501, "5.7.0", "Authentication cancelled");
pub(crate) const BAD_AUTH_RESPONSE: Reply = Reply::of(501, "5.5.2", "Not base64, or not what the mechanism expects");
pub(crate) const NOT_IMPLEMENTED: Reply = Reply::of(502, "5.5.1", "Command not available");
pub(crate) const GREET_FIRST: Reply = Reply::of(503, "5.5.1", "Send EHLO (LMTP: LHLO) first");
pub(crate) const MAIL_FIRST: Reply = Reply::of(503, "5.5.1", "Send MAIL first");
pub(crate) const RCPT_FIRST: Reply = Reply::of(503, "5.5.1", "No valid recipients");
pub(crate) const IN_TRANSACTION: Reply = Reply::of(503, "5.5.1", "Not allowed during a transaction");
pub(crate) const TLS_ALREADY: Reply = Reply::of(503, "5.5.1", "TLS is already active");
pub(crate) const LOGGED_IN_ALREADY: Reply = Reply::of(503, "5.5.1", "Authenticated already");
pub(crate) const UNKNOWN_MECHANISM: Reply = Reply::of(504, "5.5.4", "Mechanism not known");
pub(crate) const LOGIN_FIRST: Reply = Reply::of(530, "5.7.0", "Authentication required");
pub(crate) const LOGIN_REFUSED: Reply = Reply::of(535, "5.7.8", "Authentication credentials invalid");

/// RFC 4954 §4: the credentials are not accepted now. The text names the page that changes the password.
pub(crate) fn password_due(text: &str) -> Reply {
    Reply::new(535, "5.7.8", text.to_owned())
}

pub(crate) const TLS_FIRST: Reply = Reply::of(538, "5.7.11", "Encryption required for this mechanism");
pub(crate) const BARE_LINE_END: Reply = Reply::of(550, "5.6.11", "Lines must end in CRLF, no bare CR or LF");
pub(crate) const MAY_NOT_SEND: Reply = Reply::of(550, "5.7.1", "This account can no longer send mail");
pub(crate) const QUARANTINED: Reply = Reply::of(550, "5.7.1", "Refused: quarantined mail is not sent to other sites");
pub(crate) const TOO_LARGE: Reply = Reply::of(552, "5.3.4", "Message too large");
pub(crate) const NOT_YOUR_ADDRESS: Reply = Reply::of(553, "5.7.1", "The sender is not one of your addresses");
pub(crate) const NUL_IN_MESSAGE: Reply = Reply::of(554, "5.6.0", "NUL in message");
pub(crate) const LOOPING: Reply = Reply::of(554, "5.4.6", "Too many hops");
pub(crate) const UNKNOWN_PARAMETER: Reply = Reply::of(555, "5.5.4", "Parameter not recognized");
