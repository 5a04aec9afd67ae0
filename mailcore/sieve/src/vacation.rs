//! The conditions of a vacation reply (RFC 5230 §4.5-4.7, RFC 3834 §2).

use provost_message::{HeaderField, Path, is_message_id};
use provost_view::Address;

use crate::ScriptContext;
use crate::program::VacationAction;

/// A vacation reply that may be sent, once per correspondent and handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VacationReply {
    /// The handle of the rule (RFC 5230 §4.2): that of `:handle`, or a hash of the text and other arguments, so that a
    /// new text is a new rule.
    pub handle: String,
    /// The recipient of the reply: the reverse-path of the message.
    pub to: Path,
    /// The sender address of the reply.
    pub from: Address,
    /// Days until the same correspondent gets another reply.
    pub days: u16,
    /// The subject, decoded.
    pub subject: String,
    /// The text, plain UTF-8.
    pub text: String,
    /// The `Message-ID` of the answered message, for In-Reply-To and References.
    pub in_reply_to: Option<String>,
    /// The References of the answered message.
    pub references: Option<String>,
}

/// Fields of mailing lists (RFC 2369, RFC 2919, RFC 8058): a message with one of them was not sent by one person.
const LIST_FIELDS: &[&str] = &[
    "List-Id",
    "List-Help",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Mailing-List",
    "X-Mailing-List",
    "X-Loop",
];

/// Fields of which one must name the recipient for a reply (RFC 5230 §4.5).
const RECIPIENT_FIELDS: &[&str] = &["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];

/// Local parts of programs and their roles (RFC 3834 §2, RFC 5230 §4.6, and common usage). The signed reverse-path of a
/// person (`prvs=...`) is not among them.
const PROGRAMS: &[&str] = &[
    "mailer-daemon",
    "mailerdaemon",
    "listserv",
    "listproc",
    "majordomo",
    "mailman",
    "sympa",
    "postmaster",
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "bounce",
    "bounces",
    "daemon",
    "root",
    "nobody",
];
const PROGRAM_PREFIXES: &[&str] =
    &["owner-", "bounce-", "bounce+", "bounces-", "bounces+", "noreply-", "noreply+", "no-reply-", "no-reply+"];
const PROGRAM_SUFFIXES: &[&str] = &["-request", "-owner", "-bounce", "-bounces", "-noreply", "-no-reply"];

/// Longest subject copied from the answered message, characters.
const SUBJECT_CHARS_MAX: usize = 200;
/// Longest Message-ID copied (RFC 5322 §2.1.1), and longest References, which has room for about twenty ids; octets.
const MESSAGE_ID_OCTETS_MAX: usize = 998;
const REFERENCES_OCTETS_MAX: usize = 16 * 1024;

/// Returns the reply of a rule to a message; `None` when no reply is due.
pub(crate) fn reply_of_rule(
    rule: &VacationAction,
    fields: &[HeaderField<'_>],
    context: &ScriptContext<'_>,
) -> Option<VacationReply> {
    let to = context.reverse_path()?;
    let message = AnsweredMessage { fields };
    let own = OwnAddresses { rule, context };
    if is_program(to.local()) || own.is(to.local(), to.domain()) || message.is_automatic() {
        return None;
    }
    // The owner sent the message, under another reverse-path or through a program that names the owner in Sender.
    if message.names(&["Sender", "Return-Path"], &own) || !message.names(RECIPIENT_FIELDS, &own) {
        return None;
    }
    Some(VacationReply {
        handle: rule.handle.clone(),
        to: to.clone(),
        from: own.sender(),
        days: rule.days,
        subject: rule.subject.clone().unwrap_or_else(|| message.reply_subject()),
        text: rule.text.clone(),
        in_reply_to: message.bounded("Message-ID", MESSAGE_ID_OCTETS_MAX),
        // RFC 5322 §3.6.4: an In-Reply-To with a single id stands in for missing References.
        references: message.bounded("References", REFERENCES_OCTETS_MAX).or_else(|| {
            message.bounded("In-Reply-To", MESSAGE_ID_OCTETS_MAX).filter(|ids| is_message_id(ids.as_bytes()))
        }),
    })
}

/// Whether a local part belongs to a program, a list or their owners.
fn is_program(local: &str) -> bool {
    let local = local.to_ascii_lowercase();
    PROGRAMS.contains(&local.as_str())
        || PROGRAM_PREFIXES.iter().any(|prefix| local.starts_with(prefix))
        || PROGRAM_SUFFIXES.iter().any(|suffix| local.ends_with(suffix))
}

/// The addresses of the rule's owner.
struct OwnAddresses<'a> {
    rule: &'a VacationAction,
    context: &'a ScriptContext<'a>,
}

impl OwnAddresses<'_> {
    fn is(&self, local: &str, domain: &str) -> bool {
        let Ok(address) = Address::from_parts(local, domain) else { return false };
        *self.context.recipient == address
            || self.context.addresses.contains(&address)
            || self.rule.addresses.contains(&address)
    }

    /// Returns `:from` if it is the owner's, else the address that the message was sent to (RFC 5230 §4.3). Any other
    /// address would let a script send in another person's name.
    fn sender(&self) -> Address {
        let mut of_owner = self.context.addresses.iter().chain([self.context.recipient]);
        let from = self.rule.from.as_ref().filter(|from| of_owner.any(|own| own == *from));
        from.unwrap_or(self.context.recipient).clone()
    }
}

/// The header of the answered message.
struct AnsweredMessage<'a> {
    fields: &'a [HeaderField<'a>],
}

impl AnsweredMessage<'_> {
    /// Whether the message was made by a program, or sent to many (RFC 3834 §2, RFC 5230 §4.6).
    fn is_automatic(&self) -> bool {
        self.fields.iter().any(|field| {
            LIST_FIELDS.iter().any(|name| field.is(name))
                || field.is("Auto-Submitted") && !first_word(&field.value()).eq_ignore_ascii_case("no")
                || field.is("Precedence") && has_word(&field.value(), &["bulk", "list", "junk", "auto_reply"])
                // A comma-separated list that Exchange writes ([MS-OXCMAIL]).
                || field.is("X-Auto-Response-Suppress") && has_word(&field.value(), &["oof", "all", "autoreply"])
                || field.is("Return-Path") && field.value().trim() == "<>"
                // RFC 6522: a report (bounce, disposition notification), even if its reverse-path does not show it.
                || field.is("Content-Type") && first_word(&field.value()).eq_ignore_ascii_case("multipart/report")
        })
    }

    /// Whether one of the fields of these names holds an address of the owner.
    fn names(&self, names: &[&str], own: &OwnAddresses<'_>) -> bool {
        self.fields
            .iter()
            .filter(|field| names.iter().any(|name| field.is(name)))
            .flat_map(HeaderField::mailboxes)
            .any(|mailbox| own.is(&String::from_utf8_lossy(&mailbox.local), &String::from_utf8_lossy(&mailbox.host)))
    }

    /// Returns the subject: without `:subject`, "Auto: " and the subject of the answered message (RFC 5230 §4.4).
    fn reply_subject(&self) -> String {
        let subject = self.fields.iter().find(|field| field.is("Subject")).map(|field| field.decoded());
        match subject.filter(|subject| !subject.trim().is_empty()) {
            Some(subject) => format!("Auto: {}", subject.chars().take(SUBJECT_CHARS_MAX).collect::<String>()),
            None => "Automated reply".into(),
        }
    }

    fn bounded(&self, name: &str, octets: usize) -> Option<String> {
        let value = self.fields.iter().find(|field| field.is(name))?.value().into_owned();
        (!value.is_empty() && value.len() <= octets).then_some(value)
    }
}

/// Returns the text before parameters and comments.
fn first_word(value: &str) -> &str {
    value.trim_start().split([';', ' ', '\t', '(']).next().unwrap_or_default()
}

fn has_word(value: &str, words: &[&str]) -> bool {
    value.split([',', ';', ' ', '\t']).any(|word| words.iter().any(|w| word.eq_ignore_ascii_case(w)))
}
