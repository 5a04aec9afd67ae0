//! Address lists for ENVELOPE (RFC 5322 §3.4, with the obsolete forms that are met).

use crate::header::Tokens;

/// Addresses told of one field: each is many times larger on our side than in the message.
const ADDRESSES_MAX: usize = 4_096;

/// One `address` structure of ENVELOPE (RFC 3501 §7.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Somebody.
    Mailbox { name: Option<Vec<u8>>, route: Option<Vec<u8>>, local: Vec<u8>, host: Vec<u8> },
    /// A group begins: told with a NIL host.
    GroupStart(Vec<u8>),
    /// And ends.
    GroupEnd,
}

/// Reads an unfolded address list. What cannot be read is told as a local part without host.
pub(crate) fn parse(text: &[u8]) -> Vec<Listed> {
    let mut parser = Parser { tokens: Tokens { text, at: 0 }, listed: Vec::new(), in_group: false };
    while parser.tokens.peek().is_some() && parser.listed.len() < ADDRESSES_MAX {
        parser.one();
    }
    if parser.in_group {
        parser.listed.push(Listed::GroupEnd);
    }
    parser.listed
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    listed: Vec<Listed>,
    in_group: bool,
}

/// Words of a phrase, or a local part that is not known to be one yet.
#[derive(Default)]
struct Words {
    /// With spaces where white space stood.
    phrase: Vec<u8>,
    /// Without any.
    joined: Vec<u8>,
    comment: Option<Vec<u8>>,
    space: bool,
}

impl Words {
    fn add(&mut self, word: &[u8]) {
        if self.space && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.space = false;
        self.phrase.extend_from_slice(word);
        self.joined.extend_from_slice(word);
    }
}

impl Parser<'_> {
    /// Up to the next comma, semicolon or end.
    fn one(&mut self) {
        let words = self.words(b"<@:,;");
        match self.tokens.next() {
            Some(b'<') => self.angle(words),
            Some(b'@') => {
                let host = self.words(b",;<");
                let name = host.comment.or(words.comment);
                self.listed.push(Listed::Mailbox { name, route: None, local: words.joined, host: host.joined });
                self.rest();
            }
            Some(b':') if !self.in_group => {
                self.in_group = true;
                self.listed.push(Listed::GroupStart(words.phrase));
            }
            stop => {
                if !words.joined.is_empty() {
                    let (name, local, host) = (words.comment, words.joined, Vec::new());
                    self.listed.push(Listed::Mailbox { name, route: None, local, host });
                }
                if stop == Some(b';') {
                    self.end_group();
                }
            }
        }
    }

    /// `<route:local@host>` after the display name.
    fn angle(&mut self, name: Words) {
        let mut route = None;
        let mut local = self.words(b"@>:").joined;
        let mut host = Vec::new();
        if local.is_empty() && self.tokens.peek() == Some(b'@') {
            // RFC 5322 §4.4 obs-route, or an empty local part.
            let until = self.words(b":>").joined;
            if self.tokens.eat(b':') {
                route = Some(until);
                local = self.words(b"@>").joined;
            } else {
                host = until.get(1..).unwrap_or_default().to_vec();
            }
        }
        if self.tokens.eat(b'@') {
            host = self.words(b">").joined;
        }
        let name = Some(name.phrase).filter(|phrase| !phrase.is_empty()).or(name.comment);
        self.listed.push(Listed::Mailbox { name, route, local, host });
        self.rest();
    }

    /// Passes over what stands before the next separator.
    fn rest(&mut self) {
        self.words(b",;");
        if self.tokens.next() == Some(b';') {
            self.end_group();
        }
    }

    fn end_group(&mut self) {
        if self.in_group {
            self.in_group = false;
            self.listed.push(Listed::GroupEnd);
        }
    }

    fn words(&mut self, stops: &[u8]) -> Words {
        let mut words = Words::default();
        while let Some(octet) = self.tokens.peek().filter(|octet| !stops.contains(octet)) {
            match octet {
                b'"' => {
                    let word = self.tokens.quoted();
                    words.add(&word);
                }
                b'(' => words.comment = Some(self.tokens.comment()),
                b' ' | b'\t' => {
                    words.space = true;
                    self.tokens.at += 1;
                }
                _ => {
                    words.add(&[octet]);
                    self.tokens.at += 1;
                }
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |listed: &Listed| match listed {
            Listed::Mailbox { name, route, local, host } => {
                let name = name.as_deref().map_or("-".to_owned(), show);
                let route = route.as_deref().map_or(String::new(), |route| format!("{}:", show(route)));
                format!("{name}|{route}{}@{}", show(local), show(host))
            }
            Listed::GroupStart(name) => format!("{}:", show(name)),
            Listed::GroupEnd => ";".to_owned(),
        };
        parse(text.as_bytes()).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// RFC 5322 §3.4, §4.4, appendix A.
    #[test]
    fn reads_lists() {
        for (text, expect) in [
            ("a@b.example", "-|a@b.example"),
            ("Zoë Q <z@x>, \"Doe, Jo\" <jo@x>", "Zoë Q|z@x Doe, Jo|jo@x"),
            ("z@x (Zoe (the) First)", "Zoe (the) First|z@x"),
            (
                "A Group:Chris <c@x>,joe@y;, d@z",
                "A Group: Chris|c@x joe@y ; -|d@z".replace("joe@y", "-|joe@y").as_str(),
            ),
            ("Undisclosed:;", "Undisclosed: ;"),
            ("Undisclosed:", "Undisclosed: ;"),
            ("<@a,@b:c@d>", "-|@a,@b:c@d"),
            ("\"a b\"@c", "-|a b@c"),
            ("just words", "-|justwords@"),
            ("<>", "-|@"),
            ("<@x>", "-|@x"),
            (" , ,a@b,", "-|a@b"),
            ("a . b @ c . d", "-|a.b@c.d"),
            ("", ""),
            ("x <y@z", "x|y@z"),
        ] {
            assert_eq!(told(text), expect, "{text}");
        }
    }
}
