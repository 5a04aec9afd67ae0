//! Parameters of delivery status notifications (RFC 3461 §4): parsed from a command, stored with the envelope, sent on.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// Longest ENVID, encoded characters (RFC 3461 §4.4).
const ENVELOPE_ID_CHARS_MAX: usize = 100;
/// Longest ORCPT, encoded characters (RFC 3461 §4.2).
const ORIGINAL_RECIPIENT_CHARS_MAX: usize = 500;

/// RET (RFC 3461 §4.3): how much of the message a report of failure returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnContent {
    /// RET=FULL: return the whole message.
    Full,
    /// RET=HDRS: return the header section.
    Headers,
}

/// NOTIFY (RFC 3461 §4.1): the reports that the sender requests about one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// SUCCESS: report delivery.
    pub success: bool,
    /// FAILURE: report that delivery failed for good.
    pub failure: bool,
    /// DELAY: a report while the message waits is permitted.
    pub delay: bool,
}

/// ENVID (RFC 3461 §4.4): the sender's own id for the message, decoded to printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvelopeId(Box<str>);

/// ORCPT (RFC 3461 §4.2): the recipient as the sender wrote it, before any forwarding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginalRecipient {
    kind: Box<str>,
    address: Box<str>,
}

/// The value is malformed for its RFC 3461 parameter, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid value of this parameter (RFC 3461)")]
pub struct NotificationError;

impl ReturnContent {
    /// Parses `FULL` or `HDRS`.
    pub fn parse(value: &str) -> Result<Self, NotificationError> {
        match value {
            value if value.eq_ignore_ascii_case("FULL") => Ok(Self::Full),
            value if value.eq_ignore_ascii_case("HDRS") => Ok(Self::Headers),
            _ => Err(NotificationError),
        }
    }
}

impl fmt::Display for ReturnContent {
    /// Writes the value of RET.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Full { "FULL" } else { "HDRS" })
    }
}

impl Notify {
    /// NOTIFY=NEVER: no reports at all.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };

    /// Parses `NEVER`, or a list of `SUCCESS`, `FAILURE`, `DELAY` without repetition.
    pub fn parse(value: &str) -> Result<Self, NotificationError> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Ok(Self::NEVER);
        }
        let mut notify = Self::NEVER;
        for word in value.split(',') {
            let wanted = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut notify.success,
                "FAILURE" => &mut notify.failure,
                "DELAY" => &mut notify.delay,
                _ => return Err(NotificationError),
            };
            if std::mem::replace(wanted, true) {
                return Err(NotificationError);
            }
        }
        Ok(notify)
    }
}

impl fmt::Display for Notify {
    /// Writes the value of NOTIFY.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let wanted: Vec<&str> = words.into_iter().filter(|(wanted, _)| *wanted).map(|(_, word)| word).collect();
        f.write_str(&if wanted.is_empty() { "NEVER".into() } else { wanted.join(",") })
    }
}

impl EnvelopeId {
    /// Parses the xtext value of ENVID.
    pub fn parse(value: &str) -> Result<Self, NotificationError> {
        let fits = (1..=ENVELOPE_ID_CHARS_MAX).contains(&value.len());
        decode(value).filter(|_| fits).map(Self).ok_or(NotificationError)
    }

    /// Returns the decoded id: printable ASCII, one line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvelopeId {
    /// Writes the value of ENVID, in xtext.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(&self.0, f)
    }
}

impl OriginalRecipient {
    /// Parses `addr-type;xtext`.
    pub fn parse(value: &str) -> Result<Self, NotificationError> {
        let (kind, address) = value.split_once(';').ok_or(NotificationError)?;
        let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let fits = value.len() <= ORIGINAL_RECIPIENT_CHARS_MAX && !address.is_empty();
        let address = decode(address).filter(|_| is_kind && fits).ok_or(NotificationError)?;
        Ok(Self { kind: kind.into(), address })
    }

    /// Returns the value of Original-Recipient (RFC 3464 §2.3.1): `rfc822; a@b.example`.
    pub fn field_value(&self) -> String {
        format!("{}; {}", self.kind, self.address)
    }
}

impl fmt::Display for OriginalRecipient {
    /// Writes the value of ORCPT.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.kind)?;
        encode(&self.address, f)
    }
}

impl From<EnvelopeId> for String {
    fn from(id: EnvelopeId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for EnvelopeId {
    type Error = NotificationError;
    fn try_from(text: String) -> Result<Self, NotificationError> {
        Self::parse(&text)
    }
}

impl From<OriginalRecipient> for String {
    fn from(original: OriginalRecipient) -> Self {
        original.to_string()
    }
}

impl TryFrom<String> for OriginalRecipient {
    type Error = NotificationError;
    fn try_from(text: String) -> Result<Self, NotificationError> {
        Self::parse(&text)
    }
}

/// Decodes xtext (RFC 3461 §4). `None` when it is malformed or decodes to anything but printable ASCII: a line break
/// would add a field to the report.
fn decode(value: &str) -> Option<Box<str>> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let octet = match c {
            '+' => {
                let digits = rest.get(1..3).filter(|digits| digits.bytes().all(is_upper_hex))?;
                rest = rest.get(3..)?;
                u8::from_str_radix(digits, 16).ok()?
            }
            '!'..='~' if c != '=' => {
                rest = rest.get(1..)?;
                u8::try_from(c).ok()?
            }
            _ => return None,
        };
        match octet {
            b' '..=b'~' => text.push(char::from(octet)),
            _ => return None,
        }
    }
    Some(text.into())
}

fn is_upper_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

fn encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => f.write_char(char::from(byte))?,
            byte => write!(f, "+{byte:02X}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3461 §4.1.
    #[test]
    fn reads_notify() {
        for (value, success, failure, delay) in [
            ("never", false, false, false),
            ("SUCCESS", true, false, false),
            ("failure,DELAY", false, true, true),
            ("SUCCESS,FAILURE,DELAY", true, true, true),
        ] {
            let notify = Notify { success, failure, delay };
            assert_eq!(Notify::parse(value), Ok(notify), "{value}");
            assert_eq!(Notify::parse(&notify.to_string()), Ok(notify), "{value}");
        }
        for value in ["", "NEVER,SUCCESS", "SUCCESS,SUCCESS", "SUCCESS,", "ALWAYS", "SUCCESS FAILURE"] {
            assert_eq!(Notify::parse(value), Err(NotificationError), "{value}");
        }
    }

    /// RFC 3461 §4.2, §4.4.
    #[test]
    fn reads_xtext() {
        for (value, text) in [("QQ314159", "QQ314159"), ("a+2Bb+3Dc+20d", "a+b=c d"), ("<x@y>", "<x@y>")] {
            let id = EnvelopeId::parse(value).unwrap();
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, value));
        }
        for value in ["", "a b", "a=b", "a+2", "a+2b", "a+0D+0AX: y", "a+", "+C3+A9", "é", &"x".repeat(101)] {
            assert_eq!(EnvelopeId::parse(value), Err(NotificationError), "{value}");
        }
        let original = OriginalRecipient::parse("rfc822;Bob+2Bx@b.example").unwrap();
        assert_eq!(original.field_value(), "rfc822; Bob+x@b.example");
        assert_eq!(original.to_string(), "rfc822;Bob+2Bx@b.example");
        for value in ["", "rfc822", "rfc822;", ";a@b", "a b;c", "rfc822;a+0A", &format!("rfc822;{}", "x".repeat(500))] {
            assert_eq!(OriginalRecipient::parse(value), Err(NotificationError), "{value}");
        }
    }

    #[test]
    fn reads_ret() {
        assert_eq!(
            (ReturnContent::parse("full"), ReturnContent::parse("HDRS")),
            (Ok(ReturnContent::Full), Ok(ReturnContent::Headers))
        );
        assert_eq!(ReturnContent::parse(""), Err(NotificationError));
        assert_eq!(ReturnContent::parse(&ReturnContent::Full.to_string()), Ok(ReturnContent::Full));
    }
}
