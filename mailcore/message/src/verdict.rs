//! The verdict of an SMTP stage on an arriving message, and the reply that carries it.

use std::borrow::Cow;
use std::fmt;

use crate::HeaderSection;

/// Longest text of a reply or a mark, characters. RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets.
const TEXT_CHARS_MAX: usize = 400;
/// The trace field that carries a mark. Only fields above our own Received are trusted.
const FIELD_NAME: &str = "Provost-Verdict";
/// Maximum number of marks read back from one message; a server has fewer stages.
const MARKS_MAX: usize = 32;

/// A single-line reply (RFC 5321 §4.2) with its enhanced status (RFC 2034).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    code: u16,
    status: &'static str,
    text: Cow<'static, str>,
}

impl SmtpReply {
    /// Makes a reply with a fixed text.
    pub const fn of(code: u16, status: &'static str, text: &'static str) -> Self {
        Self { code, status, text: Cow::Borrowed(text) }
    }

    /// Makes a reply with a composed text.
    pub fn new(code: u16, status: &'static str, text: String) -> Self {
        Self { code, status, text: Cow::Owned(text) }
    }

    /// Returns the three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SmtpReply {
    /// Writes the reply with its line end. Control and non-ASCII characters in the text become `?`, so that no text can
    /// add a reply.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.code, self.status)?;
        for c in self.text.chars().take(TEXT_CHARS_MAX) {
            write!(f, "{}", if c.is_ascii_graphic() || c == ' ' { c } else { '?' })?;
        }
        f.write_str("\r\n")
    }
}

/// The decision of a stage on an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accept.
    Accept,
    /// Accept, and add a trace field that Sieve can test.
    Tag(StageMark),
    /// Deliver into Junk, without automatic reply or redirect. A message with a recipient elsewhere is refused.
    Quarantine(StageMark),
    /// Defer: a 4xx reply.
    Defer(Rejected),
    /// Refuse: a 5xx reply.
    Refuse(Rejected),
}

/// Why an arrival is not accepted. Only [`Verdict::object`] makes one, so its reply is always 4xx or 5xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    label: &'static str,
    reply: SmtpReply,
}

/// The finding of a stage on a message that is accepted nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageMark {
    effect: MarkEffect,
    label: Cow<'static, str>,
    status: Cow<'static, str>,
    text: Cow<'static, str>,
}

/// The effect of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkEffect {
    /// Add a trace field.
    Tag,
    /// Add a trace field, and deliver into Junk.
    Quarantine,
}

impl Verdict {
    /// Defers or refuses, by the class of the reply's code. `label` is one word for metrics and logs. A reply of
    /// another class becomes 451: the peer would read it as success, and the message would be lost.
    pub fn object(label: &'static str, reply: SmtpReply) -> Self {
        match reply.code {
            500..=599 => Self::Refuse(Rejected { label, reply }),
            400..=499 => Self::Defer(Rejected { label, reply }),
            _ => Self::Defer(Rejected { label, reply: SmtpReply { code: 451, status: "4.3.0", text: reply.text } }),
        }
    }

    /// Tags the message. `label` is one word, `status` an enhanced status (RFC 3463), `text` a description for people.
    pub fn tag(label: &'static str, status: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Tag(StageMark::new(MarkEffect::Tag, label, status, text.into()))
    }

    /// Puts the message into quarantine. The arguments are those of [`Self::tag`].
    pub fn quarantine(label: &'static str, status: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Quarantine(StageMark::new(MarkEffect::Quarantine, label, status, text.into()))
    }

    /// Returns the name of the variant in lower case, for metrics and logs.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Tag(_) => "tag",
            Self::Quarantine(_) => "quarantine",
            Self::Defer(_) => "defer",
            Self::Refuse(_) => "refuse",
        }
    }
}

impl Rejected {
    /// Returns the one word that the stage gave for metrics and logs.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Returns the reply to the peer.
    pub fn reply(&self) -> &SmtpReply {
        &self.reply
    }

    /// Returns the reply to the peer.
    pub fn into_reply(self) -> SmtpReply {
        self.reply
    }
}

impl StageMark {
    fn new(effect: MarkEffect, label: &'static str, status: &'static str, text: Cow<'static, str>) -> Self {
        Self { effect, label: Cow::Borrowed(label), status: Cow::Borrowed(status), text }
    }

    /// Returns the effect.
    pub fn effect(&self) -> MarkEffect {
        self.effect
    }

    /// Returns the one word that the stage gave for metrics and logs.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name of the trace field. The server removes such fields from incoming messages, so that Sieve sees only the
    /// marks of our stages.
    pub const FIELD_NAME: &str = FIELD_NAME;

    /// Reads the marks that this site put on a message: the fields above the first Received. Fields below it came with
    /// the message and may be forged.
    pub fn of_message(message: &[u8]) -> Vec<Self> {
        let ours = HeaderSection::of(message).iter().take_while(|field| !field.is("Received"));
        ours.filter(|field| field.is(FIELD_NAME))
            .take(MARKS_MAX)
            .filter_map(|field| Self::read(&field.value()))
            .collect()
    }

    /// Parses `effect label status text`.
    fn read(value: &str) -> Option<Self> {
        let mut parts = value.splitn(4, [' ', '\t']);
        let effect = match parts.next()? {
            "tag" => MarkEffect::Tag,
            "quarantine" => MarkEffect::Quarantine,
            _ => return None,
        };
        let mut part = || parts.next().unwrap_or_default().to_owned().into();
        Some(Self { effect, label: part(), status: part(), text: part() })
    }
}

impl fmt::Display for StageMark {
    /// Writes the whole trace field with its line end. Control and non-ASCII characters in the text become `?`, so that
    /// no text can end the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            MarkEffect::Tag => "tag",
            MarkEffect::Quarantine => "quarantine",
        };
        write!(f, "{FIELD_NAME}: {effect} {} {}\r\n\t", self.label, self.status)?;
        for c in self.text.chars().take(TEXT_CHARS_MAX) {
            write!(f, "{}", if c.is_ascii_graphic() || c == ' ' { c } else { '?' })?;
        }
        f.write_str("\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_inject_a_reply() {
        let reply = SmtpReply::new(550, "5.7.1", format!("no\r\n250 é{}", "x".repeat(1000))).to_string();
        assert!(reply.starts_with("550 5.7.1 no??250 ?x") && reply.ends_with("x\r\n") && reply.len() < 512, "{reply}");
    }

    /// A rejection never has a reply that the peer reads as success.
    #[test]
    fn the_class_of_a_reply_decides() {
        for (code, label, answered) in
            [(451, "defer", 451), (421, "defer", 421), (550, "refuse", 550), (250, "defer", 451), (354, "defer", 451)]
        {
            let verdict = Verdict::object("test", SmtpReply::of(code, "5.0.0", "x"));
            assert_eq!(verdict.as_label(), label);
            let (Verdict::Defer(objection) | Verdict::Refuse(objection)) = verdict else { panic!("{verdict:?}") };
            assert_eq!((objection.reply().code(), objection.label()), (answered, "test"));
        }
    }

    #[test]
    fn marks_travel_in_the_message() {
        let (Verdict::Tag(tag), Verdict::Quarantine(quarantine)) = (
            Verdict::tag("late", "2.0.0", "came late"),
            Verdict::quarantine("virus", "5.7.1", "a\r\nb é c".to_owned()),
        ) else {
            panic!("not marks");
        };
        let forged = "Provost-Verdict: quarantine forged 5.0.0\r\n\tx\r\n";
        let message = format!("Return-Path: <>\r\n{tag}{quarantine}Received: from x\r\n{forged}\r\nhi\r\n");
        assert!(message.contains("Provost-Verdict: tag late 2.0.0\r\n\tcame late\r\n"), "{message}");
        let read = StageMark::of_message(message.as_bytes());
        assert_eq!(read[0], tag);
        assert_eq!((read[1].effect(), read[1].label(), &*read[1].text), (MarkEffect::Quarantine, "virus", "a??b ? c"));
        assert_eq!(read.len(), 2, "a field below Received was read as a mark");
        let many = format!("{}Received: x\r\n", tag.to_string().repeat(100));
        assert_eq!(StageMark::of_message(many.as_bytes()).len(), MARKS_MAX);
        assert_eq!(StageMark::of_message(b"Provost-Verdict: other\r\n\r\n"), []);
    }
}
