//! Address lists (RFC 5322 §3.4) and their obsolete forms (§4.4). The parser never invents an address: text that is not
//! an address becomes a display name.

use crate::tokens::TokenCursor;

/// Maximum number of items read from one field. A parsed item takes many times the memory of its source text.
pub const LISTED_MAX: usize = 4_096;

/// One item of an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedAddress {
    /// A mailbox. When the text is not an address, `local` and `host` are empty, and `name` holds the display name or,
    /// without one, the text.
    Mailbox(ListedMailbox),
    /// The start of a group, with its display name (RFC 5322 §3.4).
    GroupStart(Vec<u8>),
    /// The end of a group.
    GroupEnd,
}

/// One mailbox of an address list. The octets are as sent; encoded words are not decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedMailbox {
    /// The display name; without one, the comment beside the address.
    pub name: Option<Vec<u8>>,
    /// The obsolete source route (RFC 5322 §4.4 obs-route).
    pub route: Option<Vec<u8>>,
    /// The local part, without its quotes.
    pub local: Vec<u8>,
    /// The domain; empty when the text has no `@`.
    pub host: Vec<u8>,
}

impl ListedMailbox {
    /// Returns `local@host`, or the local part alone when there is no host. `None` when the local part is empty.
    pub fn address(&self) -> Option<String> {
        let local = String::from_utf8_lossy(&self.local);
        match (local.is_empty(), self.host.is_empty()) {
            (true, _) => None,
            (false, true) => Some(local.into_owned()),
            (false, false) => Some(format!("{local}@{}", String::from_utf8_lossy(&self.host))),
        }
    }
}

/// Parses an unfolded address list into at most [`LISTED_MAX`] items and, when the last item is inside a group, the end
/// of that group.
pub fn address_list(text: &[u8]) -> Vec<ListedAddress> {
    let mut parser = AddressParser { tokens: TokenCursor::new(text), listed: Vec::new(), in_group: false };
    while parser.tokens.peek().is_some() && parser.listed.len() < LISTED_MAX {
        parser.item();
    }
    if parser.in_group {
        parser.listed.push(ListedAddress::GroupEnd);
    }
    parser.listed
}

/// Returns the mailboxes of an unfolded address list that have a local part, including those inside groups.
pub fn mailboxes(text: &[u8]) -> impl Iterator<Item = ListedMailbox> + use<> {
    address_list(text).into_iter().filter_map(|listed| match listed {
        ListedAddress::Mailbox(mailbox) if !mailbox.local.is_empty() => Some(mailbox),
        _ => None,
    })
}

struct AddressParser<'a> {
    tokens: TokenCursor<'a>,
    listed: Vec<ListedAddress>,
    in_group: bool,
}

/// A run of words that turns out to be a phrase, a local part or a domain once the parser sees what follows.
#[derive(Default)]
struct WordRun {
    /// The words as a phrase, with one space where white space stood.
    phrase: Vec<u8>,
    /// The words as one local part or domain. `None` when two words are not joined by a dot.
    joined: Option<Vec<u8>>,
    /// The last comment among the words.
    comment: Option<Vec<u8>>,
    count: usize,
    space: bool,
    after_dot: bool,
}

/// How a word was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WordForm {
    /// Atoms and dots.
    Atoms,
    /// A quoted string or a domain literal, whose dots join nothing.
    Quoted,
}

impl WordRun {
    fn add(&mut self, word: &[u8], form: WordForm) {
        if self.space && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.space = false;
        self.phrase.extend_from_slice(word);
        let before_dot = form == WordForm::Atoms && word.first() == Some(&b'.');
        let joins = self.after_dot || before_dot;
        match &mut self.joined {
            _ if self.count == 0 => self.joined = Some(word.to_vec()),
            Some(joined) if joins => joined.extend_from_slice(word),
            _ => self.joined = None,
        }
        self.after_dot = form == WordForm::Atoms && word.last() == Some(&b'.');
        self.count += 1;
    }

    /// Returns the words as one local part or domain; empty without words, `None` when two words are not joined by a
    /// dot.
    fn joined(&self) -> Option<&[u8]> {
        if self.count == 0 { Some(b"") } else { self.joined.as_deref() }
    }
}

impl AddressParser<'_> {
    /// Parses one item and what ends it: a comma, a semicolon, the colon after a group's name, or the end of the text.
    fn item(&mut self) {
        self.tokens.skip_white_space();
        let start = self.tokens.at();
        let words = self.words(b"<@:,;>");
        match self.tokens.peek() {
            Some(b'<') => self.angle(words),
            Some(b'@') => self.addr_spec(start, words),
            Some(b':') if !self.in_group => {
                self.tokens.next();
                self.in_group = true;
                self.listed.push(ListedAddress::GroupStart(words.phrase));
            }
            _ => {
                let local = words.joined().map(|local| (local.to_vec(), Vec::new()));
                self.end(start, words.comment, local);
            }
        }
    }

    /// Parses `local@host` without angle brackets, or a display name that contains `@` before an angle address.
    fn addr_spec(&mut self, start: usize, local: WordRun) {
        self.tokens.next();
        let mut host = self.words(b"<@:,;>");
        if self.tokens.peek() == Some(b'@') {
            // Two `@` do not make an address.
            host.joined = None;
            host.count += 1;
            self.words(b"<,;");
        }
        if self.tokens.peek() == Some(b'<') {
            let phrase = self.tokens.since(start).trim_ascii().to_vec();
            return self.angle(WordRun { phrase, comment: local.comment, ..WordRun::default() });
        }
        // The end of angle brackets that began before the last comma.
        self.tokens.eat(b'>');
        self.tokens.skip_white_space();
        let address = local.joined().zip(host.joined()).map(|(local, host)| (local.to_vec(), host.to_vec()));
        self.end(start, host.comment.or(local.comment), address);
    }

    /// Parses `<route:local@host>` after the display name.
    fn angle(&mut self, name: WordRun) {
        self.tokens.next();
        let start = self.tokens.at();
        let (mut route, mut host, mut comment) = (None, None, name.comment);
        if self.tokens.peek() == Some(b'@') {
            // RFC 5322 §4.4 obs-route, or an empty local part.
            let until = self.words(b":>");
            let text = until.joined().unwrap_or_default().to_vec();
            if self.tokens.eat(b':') {
                route = Some(text);
            } else {
                host = text.get(1..).map(<[u8]>::to_vec);
            }
        }
        let local = self.words(b"@:<>,;");
        if self.tokens.eat(b'@') {
            let words = self.words(b"@<>,;");
            host = words.joined().map(<[u8]>::to_vec);
            comment = comment.or(words.comment);
        } else if host.is_none() {
            host = Some(Vec::new());
        }
        let is_whole = matches!(self.tokens.peek(), None | Some(b'>' | b',' | b';'));
        let address = local.joined().zip(host).filter(|_| is_whole);
        let name = Some(name.phrase).filter(|phrase| !phrase.is_empty()).or(comment).or(local.comment.clone());
        let mailbox = match address {
            Some((local, host)) => ListedMailbox { name, route, local: local.to_vec(), host },
            None => {
                self.words(b">,;");
                let text = self.tokens.since(start).trim_ascii().to_vec();
                ListedMailbox { name: name.or(Some(text)), ..ListedMailbox::default() }
            }
        };
        self.listed.push(ListedAddress::Mailbox(mailbox));
        self.separator();
    }

    /// Ends an item without angle brackets. Records `address`, or the whole text as a name when there is no address, or
    /// nothing when the item is empty.
    fn end(&mut self, start: usize, name: Option<Vec<u8>>, address: Option<(Vec<u8>, Vec<u8>)>) {
        let is_whole = matches!(self.tokens.peek(), None | Some(b',' | b';'));
        self.words(b",;");
        match address.filter(|_| is_whole) {
            Some((local, host)) if local.is_empty() && host.is_empty() => {}
            Some((local, host)) => {
                self.listed.push(ListedAddress::Mailbox(ListedMailbox { name, route: None, local, host }));
            }
            None => {
                let name = Some(self.tokens.since(start).trim_ascii().to_vec());
                self.listed.push(ListedAddress::Mailbox(ListedMailbox { name, ..ListedMailbox::default() }));
            }
        }
        self.separator();
    }

    /// Skips to the next separator and over it.
    fn separator(&mut self) {
        self.words(b",;");
        if self.tokens.next() == Some(b';') && self.in_group {
            self.in_group = false;
            self.listed.push(ListedAddress::GroupEnd);
        }
    }

    fn words(&mut self, stops: &[u8]) -> WordRun {
        let mut words = WordRun::default();
        while let Some(octet) = self.tokens.peek().filter(|octet| !stops.contains(octet)) {
            match octet {
                b'"' => {
                    let word = self.tokens.quoted();
                    words.add(&word, WordForm::Quoted);
                }
                b'(' => {
                    words.comment = Some(self.tokens.comment());
                    words.space = true;
                }
                b' ' | b'\t' | b'\r' | b'\n' => {
                    words.space = true;
                    self.tokens.next();
                }
                b'[' => words.add(self.tokens.domain_literal(), WordForm::Quoted),
                _ => {
                    let is_end = |octet: &u8| b"\"( \t\r\n".contains(octet) || stops.contains(octet);
                    words.add(self.tokens.run_until_any(is_end), WordForm::Atoms);
                }
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |listed: &ListedAddress| match listed {
            ListedAddress::Mailbox(ListedMailbox { name, route, local, host }) => {
                let name = name.as_deref().map_or("-".to_owned(), show);
                let route = route.as_deref().map_or(String::new(), |route| format!("{}:", show(route)));
                format!("{name}|{route}{}@{}", show(local), show(host))
            }
            ListedAddress::GroupStart(name) => format!("{}:", show(name)),
            ListedAddress::GroupEnd => ";".to_owned(),
        };
        address_list(text.as_bytes()).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// RFC 5322 §3.4, §4.4, appendix A.
    #[test]
    fn reads_lists() {
        for (text, expect) in [
            ("a@b.example", "-|a@b.example"),
            ("Zoë Q <z@x>, \"Doe, Jo\" <jo@x>", "Zoë Q|z@x Doe, Jo|jo@x"),
            ("z@x (Zoe (the) First)", "Zoe (the) First|z@x"),
            ("A Group:Chris <c@x>,joe@y;, d@z", "A Group: Chris|c@x -|joe@y ; -|d@z"),
            ("Undisclosed:;", "Undisclosed: ;"),
            ("Undisclosed:", "Undisclosed: ;"),
            ("<@a,@b:c@d>", "-|@a,@b:c@d"),
            ("\"a b\"@c", "-|a b@c"),
            ("<>", "-|@"),
            ("<@x>", "-|@x"),
            (" , ,a@b,", "-|a@b"),
            ("a . b @ c . d", "-|a.b@c.d"),
            ("\"a\".b@c", "-|a.b@c"),
            ("", ""),
            ("x <y@z", "x|y@z"),
            ("<y@z, a@b>, c@d", "-|y@z -|a@b -|c@d"),
            ("postmaster", "-|postmaster@"),
            ("user@x.test <user@y.test>", "user@x.test|user@y.test"),
            ("user (one)@ (two) x.example", "two|user@x.example"),
            ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|pete@silly.test"),
            ("\"Giant; \\\"Big\\\" Box\" <s@x>", "Giant; \"Big\" Box|s@x"),
            ("a@[127.0.0.1], b@[IPv6:::1]", "-|a@[127.0.0.1] -|b@[IPv6:::1]"),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }

    /// Words join only around a dot; text that is not an address becomes a name.
    #[test]
    fn invents_no_address() {
        for (text, expect) in [
            ("John Smith john@x.test", "John Smith john@x.test|@"),
            ("John Smith john@x.test, a@b", "John Smith john@x.test|@ -|a@b"),
            ("<Undisclosed Recipients@x>", "Undisclosed Recipients@x|@"),
            ("Ann <Undisclosed Recipients@x>", "Ann|@"),
            ("\"woie\"q@x", "\"woie\"q@x|@"),
            ("just words", "just words|@"),
            ("a@b c", "a@b c|@"),
            ("a@b@c", "a@b@c|@"),
            ("<a@b@c>", "a@b@c|@"),
            ("<mailto:a@b>", "mailto:a@b|@"),
            ("foo>bar@x", "foo>bar@x|@"),
            ("a@b:c", "a@b:c|@"),
            ("a@b>c", "a@b>c|@"),
            ("(open", ""),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
        assert_eq!(mailboxes(b"John Smith j@x, <a@b>, g: c@d;").count(), 2);
    }

    #[test]
    fn a_list_is_bounded() {
        assert_eq!(address_list("a@b,".repeat(5_000).as_bytes()).len(), LISTED_MAX);
    }

    #[test]
    fn an_address_is_written() {
        let of = |local: &[u8], host: &[u8]| {
            ListedMailbox { local: local.to_vec(), host: host.to_vec(), ..ListedMailbox::default() }.address()
        };
        assert_eq!(of(b"a", b"b"), Some("a@b".to_owned()));
        assert_eq!((of(b"a", b""), of(b"", b"b")), (Some("a".to_owned()), None));
    }

    proptest! {
        #[test]
        fn any_list_is_read(text in "[a@<>(),;:.\"\\\\\\[\\] é]{0,60}") {
            for mailbox in mailboxes(text.as_bytes()) {
                prop_assert!(mailbox.address().is_some());
            }
        }
    }
}
