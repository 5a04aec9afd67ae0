//! What a stage of SMTP finds about a message that is arriving, and the reply that says so.

use std::borrow::Cow;
use std::fmt;

use crate::Headers;

/// Characters of one reply text. RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets.
const TEXT_CHARS_MAX: usize = 400;
/// The trace field that carries a mark. Only those above our own Received are ours.
const FIELD_NAME: &str = "Provost-Verdict";
/// Marks of one message that are read back: more than a server has stages.
const MARKS_MAX: usize = 32;

/// One reply of one line (RFC 5321 §4.2), with its enhanced status (RFC 2034).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    code: u16,
    status: &'static str,
    text: Cow<'static, str>,
}

impl SmtpReply {
    /// Of our own words.
    pub const fn of(code: u16, status: &'static str, text: &'static str) -> Self {
        Self { code, status, text: Cow::Borrowed(text) }
    }

    /// Of words made up from elsewhere.
    pub fn new(code: u16, status: &'static str, text: String) -> Self {
        Self { code, status, text: Cow::Owned(text) }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The words.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SmtpReply {
    /// With its line end. No control character of a text from elsewhere gets into the stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.code, self.status)?;
        for c in self.text.chars().take(TEXT_CHARS_MAX) {
            write!(f, "{}", if c.is_ascii_graphic() || c == ' ' { c } else { '?' })?;
        }
        f.write_str("\r\n")
    }
}

/// What a stage decides about an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to object to.
    Accept,
    /// It goes on, with a trace field that Sieve can test.
    Tag(Mark),
    /// It goes on, into Junk, and causes nothing (no reply, no redirect). With a recipient elsewhere it is refused.
    Quarantine(Mark),
    /// Not now: a 4xx reply.
    Defer(Objection),
    /// Never: a 5xx reply.
    Refuse(Objection),
}

/// Why an arrival is not taken. Made by [`Verdict::object`] only, so that its reply never is one of success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    label: &'static str,
    reply: SmtpReply,
}

/// What a stage has found on a message that goes on all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    effect: Effect,
    label: Cow<'static, str>,
    status: Cow<'static, str>,
    words: Cow<'static, str>,
}

/// What a mark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A trace field.
    Tag,
    /// A trace field, and delivery into Junk.
    Quarantine,
}

impl Verdict {
    /// Deferred or refused, as the class of the reply's code says. `label` is for counters and logs: one word. A reply of
    /// another class would be a promise to the peer that nobody keeps: it becomes 451.
    pub fn object(label: &'static str, reply: SmtpReply) -> Self {
        match reply.code {
            500..=599 => Self::Refuse(Objection { label, reply }),
            400..=499 => Self::Defer(Objection { label, reply }),
            _ => Self::Defer(Objection { label, reply: SmtpReply { code: 451, status: "4.3.0", text: reply.text } }),
        }
    }

    /// With a trace field: `label` is one word, `status` an enhanced status (RFC 3463), `words` are for people.
    pub fn tag(label: &'static str, status: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self::Tag(Mark::new(Effect::Tag, label, status, words.into()))
    }

    /// Into Junk, the same otherwise.
    pub fn quarantine(label: &'static str, status: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self::Quarantine(Mark::new(Effect::Quarantine, label, status, words.into()))
    }

    /// For counters and logs.
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

impl Objection {
    /// One word for counters and logs.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// What the peer is answered.
    pub fn reply(&self) -> &SmtpReply {
        &self.reply
    }

    /// What the peer is answered.
    pub fn into_reply(self) -> SmtpReply {
        self.reply
    }
}

impl Mark {
    fn new(effect: Effect, label: &'static str, status: &'static str, words: Cow<'static, str>) -> Self {
        Self { effect, label: Cow::Borrowed(label), status: Cow::Borrowed(status), words }
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// One word for counters and logs.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name of the trace field. One that a message brings along is not ours: the server takes it out, so that Sieve
    /// sees only what stages have found.
    pub const FIELD_NAME: &str = FIELD_NAME;

    /// The marks that this site has put on a message: those of the fields above the first Received. What stands below came
    /// with the message, and anybody can have written it.
    pub fn of_message(message: &[u8]) -> Vec<Self> {
        let ours = Headers::of(message).iter().take_while(|field| !field.is("Received"));
        ours.filter(|field| field.is(FIELD_NAME))
            .take(MARKS_MAX)
            .filter_map(|field| Self::read(&field.value()))
            .collect()
    }

    /// `effect label status words`.
    fn read(value: &str) -> Option<Self> {
        let mut parts = value.splitn(4, [' ', '\t']);
        let effect = match parts.next()? {
            "tag" => Effect::Tag,
            "quarantine" => Effect::Quarantine,
            _ => return None,
        };
        let mut part = || parts.next().unwrap_or_default().to_owned().into();
        Some(Self { effect, label: part(), status: part(), words: part() })
    }
}

impl fmt::Display for Mark {
    /// The whole trace field with its line end. Words from elsewhere cannot end it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Tag => "tag",
            Effect::Quarantine => "quarantine",
        };
        write!(f, "{FIELD_NAME}: {effect} {} {}\r\n\t", self.label, self.status)?;
        for c in self.words.chars().take(TEXT_CHARS_MAX) {
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

    /// A stage cannot object with a reply that the peer takes for success.
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
        let read = Mark::of_message(message.as_bytes());
        assert_eq!(read[0], tag);
        assert_eq!((read[1].effect(), read[1].label(), &*read[1].words), (Effect::Quarantine, "virus", "a??b ? c"));
        assert_eq!(read.len(), 2, "what came with the message is not ours");
        let many = format!("{}Received: x\r\n", tag.to_string().repeat(100));
        assert_eq!(Mark::of_message(many.as_bytes()).len(), MARKS_MAX);
        assert_eq!(Mark::of_message(b"Provost-Verdict: other\r\n\r\n"), []);
    }
}
