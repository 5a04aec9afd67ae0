//! LIST and LSUB (RFC 3501 §6.3.8, §6.3.9; RFC 5258; RFC 5819; RFC 6154).

use std::collections::BTreeMap;

use provost_net::{OutputBuffer, SessionError};
use provost_store::{AccountSnapshot, MailboxInfo, MailboxName};

use crate::codec::command::{ListArguments, ListPattern};
use crate::codec::{StatusResponse, encode};
use crate::context::CommandContext;

use super::status::status_line;

/// Longest reference and pattern together, octets. A longer pattern is taken to match nothing; the longest mailbox name
/// has 255 octets.
const PATTERN_OCTETS_MAX: usize = 1_024;

/// Names tested before the task yields to other sessions.
const NAMES_PER_YIELD: usize = 64;

/// What LIST and LSUB report about one name.
#[derive(Default)]
struct ListedName<'a> {
    mailbox: Option<&'a MailboxInfo>,
    subscribed: bool,
    /// A mailbox exists below this name.
    has_children: bool,
    /// A subscribed name exists below this name.
    subscribed_below: bool,
}

/// Every name that LIST or LSUB may report: mailboxes, subscribed names, and the levels above them.
fn names(snapshot: &AccountSnapshot) -> BTreeMap<&str, ListedName<'_>> {
    let mut names: BTreeMap<&str, ListedName<'_>> = BTreeMap::new();
    for mailbox in &snapshot.mailboxes {
        let listed = names.entry(mailbox.name.as_str()).or_default();
        listed.mailbox = Some(mailbox);
        listed.subscribed |= mailbox.subscribed;
        for parent in parents(mailbox.name.as_str()) {
            let above = names.entry(parent).or_default();
            above.has_children = true;
            above.subscribed_below |= mailbox.subscribed;
        }
    }
    for name in &snapshot.subscribed_only {
        names.entry(name.as_str()).or_default().subscribed = true;
        for parent in parents(name.as_str()) {
            names.entry(parent).or_default().subscribed_below = true;
        }
    }
    names
}

/// The levels above a name: `a` and `a/b` for `a/b/c`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(MailboxName::SEPARATOR).filter_map(|(at, _)| name.get(..at))
}

/// INBOX first, then sorted by name, as clients show them.
fn in_order<'a>(names: &'a BTreeMap<&'a str, ListedName<'a>>) -> impl Iterator<Item = (&'a str, &'a ListedName<'a>)> {
    let inbox = names.get_key_value("INBOX").into_iter();
    inbox.chain(names.iter().filter(|(name, _)| **name != "INBOX")).map(|(name, listed)| (*name, listed))
}

/// LIST, and its extensions (RFC 5258).
pub(crate) async fn list(
    context: &CommandContext<'_>,
    list: ListArguments,
    out: &mut OutputBuffer<'_>,
) -> Result<StatusResponse, SessionError> {
    let ok = StatusResponse::ok("LIST completed");
    if !list.extended && list.patterns.iter().all(|pattern| pattern.as_deref() == Some("")) {
        // RFC 3501 §6.3.8: an empty pattern asks for the separator and the root.
        out.put("* LIST (\\Noselect) \"/\" \"\"\r\n");
        return Ok(ok);
    }
    let snapshot = match context.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(reply) => return Ok(reply),
    };
    let globs: Vec<Glob> = list.patterns.iter().filter_map(|pattern| Glob::new(&list.reference, pattern)).collect();
    let names = names(&snapshot);
    for (at, (name, listed)) in in_order(&names).enumerate() {
        if at % NAMES_PER_YIELD == NAMES_PER_YIELD - 1 {
            tokio::task::yield_now().await;
        }
        if !globs.iter().any(|glob| glob.matches(name)) {
            continue;
        }
        let Some(line) = list_line(name, listed, &list) else { continue };
        out.put(line);
        if let Some(mailbox) = listed.mailbox.filter(|_| !list.status.is_empty()) {
            match status_line(context, mailbox, &list.status).await {
                Ok(line) => out.put(line),
                Err(reply) => return Ok(reply),
            }
        }
        out.relieve().await?;
    }
    Ok(ok)
}

/// The LIST response for a name that matches a pattern; `None` when the selection options leave it out (RFC 5258 §3).
fn list_line(name: &str, listed: &ListedName<'_>, list: &ListArguments) -> Option<String> {
    let select = list.select;
    let special_use = listed.mailbox.and_then(|mailbox| mailbox.special_use);
    let selected = (!select.subscribed || listed.subscribed) && (!select.special_use || special_use.is_some());
    let below = select.recursive && listed.subscribed_below;
    // Without SUBSCRIBED, only mailboxes and the levels above mailboxes are listed.
    let is_listed = listed.mailbox.is_some() || listed.has_children || select.subscribed;
    if !is_listed || !(selected || below) {
        return None;
    }
    let mut attributes = Vec::new();
    if listed.mailbox.is_none() {
        attributes.push("\\NonExistent");
        attributes.push("\\Noselect");
    }
    if listed.subscribed && (select.subscribed || list.return_subscribed) {
        attributes.push("\\Subscribed");
    }
    attributes.push(if listed.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    attributes.extend(special_use.map(encode::special_use));
    let child_info = if below { " (\"CHILDINFO\" (\"SUBSCRIBED\"))" } else { "" };
    Some(format!("* LIST ({}) \"/\" {}{child_info}\r\n", attributes.join(" "), encode::mailbox_text(name)))
}

/// LSUB: the subscribed names that match, whether their mailboxes exist or not (RFC 3501 §6.3.9).
pub(crate) async fn lsub(
    context: &CommandContext<'_>,
    reference: ListPattern,
    pattern: ListPattern,
    out: &mut OutputBuffer<'_>,
) -> StatusResponse {
    let snapshot = match context.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(reply) => return reply,
    };
    let Some(glob) = Glob::new(&reference, &pattern) else { return StatusResponse::ok("LSUB completed") };
    let names = names(&snapshot);
    // RFC 3501 §6.3.9: `%` also lists a level above a subscribed name, as \Noselect. A pattern with `*` need not do so,
    // as `*` matches the subscribed name itself.
    let lists_levels = glob.pattern.contains('%') && !glob.pattern.contains('*');
    for (name, listed) in in_order(&names) {
        if glob.matches(name) && (listed.subscribed || (lists_levels && listed.subscribed_below)) {
            let attributes = if listed.subscribed { "" } else { "\\Noselect" };
            out.put(format!("* LSUB ({attributes}) \"/\" {}\r\n", encode::mailbox_text(name)));
        }
    }
    StatusResponse::ok("LSUB completed")
}

/// Reference and pattern joined: `*` matches anything, `%` anything within a level (RFC 3501 §6.3.8).
struct Glob {
    pattern: String,
    /// The pattern in upper case, for INBOX, which matches in any case (RFC 3501 §5.1).
    upper: String,
}

impl Glob {
    /// `None` for a pattern that matches nothing: one that is not modified UTF-7, or is too long.
    fn new(reference: &ListPattern, pattern: &ListPattern) -> Option<Self> {
        let mut whole = reference.clone()?;
        whole.push_str(pattern.as_deref()?);
        let whole = match whole.get(..5) {
            Some(head)
                if head.eq_ignore_ascii_case("INBOX") && matches!(whole.as_bytes().get(5), None | Some(b'/')) =>
            {
                format!("INBOX{}", whole.get(5..).unwrap_or_default())
            }
            _ => whole,
        };
        let upper = whole.to_ascii_uppercase();
        (whole.len() <= PATTERN_OCTETS_MAX).then_some(Self { pattern: whole, upper })
    }

    fn matches(&self, name: &str) -> bool {
        glob(&self.pattern, name) || (name == "INBOX" && glob(&self.upper, name))
    }
}

/// Whether a pattern matches a name. After each octet of the pattern, `reached[n]` is whether the pattern up to this
/// octet matches the first `n` octets of the name. The work grows with the product of both lengths.
fn glob(pattern: &str, name: &str) -> bool {
    let name = name.as_bytes();
    let mut reached = vec![false; name.len() + 1];
    reached.iter_mut().take(1).for_each(|start| *start = true);
    let mut before = 0;
    for octet in pattern.bytes() {
        let is_wild = matches!(octet, b'*' | b'%');
        if is_wild && octet == before {
            // A repeated wildcard matches the same as one.
            continue;
        }
        before = octet;
        let mut was_matched = false;
        for (at, place) in reached.iter_mut().enumerate() {
            let last = at.checked_sub(1).and_then(|at| name.get(at)).copied();
            let is_reached = *place;
            *place = match octet {
                b'*' => is_reached || was_matched,
                b'%' => is_reached || (was_matched && last != Some(b'/')),
                octet => was_matched && last == Some(octet),
            };
            was_matched = if is_wild { *place } else { is_reached };
        }
        if !reached.contains(&true) {
            return false;
        }
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3501 §6.3.8.
    #[test]
    fn wildcards() {
        for (reference, pattern, name, expect) in [
            ("", "*", "a/b", true),
            ("", "%", "a/b", false),
            ("", "%", "a", true),
            ("", "%/%", "a/b", true),
            ("", "a/%", "a/b/c", false),
            ("", "a*c", "a/b/c", true),
            ("", "a%c", "abc", true),
            ("a/", "%", "a/b", true),
            ("", "inbox", "INBOX", true),
            ("", "inbox/x", "INBOX/x", true),
            ("", "inb%", "INBOX", true),
            ("", "sent", "Sent", false),
            ("", "%%%%%%%%b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
            ("", "*b*", "abc", true),
            ("", "", "a", false),
            ("", "é%", "é/té", false),
            ("", "é%", "ét", true),
        ] {
            let glob = Glob::new(&Some(reference.to_owned()), &Some(pattern.to_owned())).unwrap();
            assert_eq!(glob.matches(name), expect, "{reference}{pattern} {name}");
        }
        assert!(Glob::new(&None, &Some("*".to_owned())).is_none());
        assert!(Glob::new(&Some(String::new()), &Some("x".repeat(PATTERN_OCTETS_MAX + 1))).is_none());
    }
}
