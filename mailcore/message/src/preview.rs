//! The text that a message shows, and its first characters as a preview (RFC 8970).

use crate::MimePart;
use crate::mime::PartContent;

/// Longest preview, characters. RFC 8970 recommends 200, and allows 256.
const PREVIEW_CHARS_MAX: usize = 200;
/// Octets read from a plain text part: enough for nearly every preview.
const PLAIN_OCTETS_MAX: usize = 2 * 1024;
/// Octets read from an HTML part: a style sheet may precede the text.
const HTML_OCTETS_MAX: usize = 32 * 1024;

/// Returns the text that a message shows: its first `text/plain` part, or else its first `text/html` part without tags.
/// A part with the disposition `attachment` does not count. `None` when there is no such part.
pub fn shown_text(message: &[u8], root: &MimePart) -> Option<String> {
    let part = shown_part(root)?;
    Some(text_of(message, part))
}

fn shown_part(root: &MimePart) -> Option<&MimePart> {
    find(root, "plain").or_else(|| find(root, "html"))
}

fn text_of(message: &[u8], part: &MimePart) -> String {
    as_shown(part, part.text_in(message))
}

fn as_shown(part: &MimePart, text: String) -> String {
    if part.media.is_exactly("text", "html") { without_tags(&text) } else { text }
}

/// Returns the first characters of the text that a message shows, with white space collapsed. Empty without text.
pub(crate) fn preview(message: &[u8], root: &MimePart) -> String {
    let Some(part) = shown_part(root) else { return String::new() };
    let octets = if part.media.is_exactly("text", "html") { HTML_OCTETS_MAX } else { PLAIN_OCTETS_MAX };
    let text = as_shown(part, part.beginning_in(message, octets));
    let mut preview = String::with_capacity(PREVIEW_CHARS_MAX);
    let mut left = PREVIEW_CHARS_MAX;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !preview.is_empty() {
            preview.push(' ');
            left = left.saturating_sub(1);
        }
        let end = word.char_indices().nth(left).map_or(word.len(), |(at, _)| at);
        let taken = word.get(..end).unwrap_or_default();
        preview.push_str(taken);
        left -= taken.chars().count();
        if left == 0 {
            break;
        }
    }
    preview.truncate(preview.trim_end().len());
    preview
}

/// Finds the first `text` part of this subtype whose disposition is not `attachment`.
fn find<'a>(part: &'a MimePart, subtype: &str) -> Option<&'a MimePart> {
    let disposition = part.attributes.disposition.as_ref();
    if disposition.is_some_and(|read| read.value.eq_ignore_ascii_case(b"attachment")) {
        return None;
    }
    match &part.content {
        PartContent::Multipart(parts) => parts.iter().find_map(|inner| find(inner, subtype)),
        PartContent::Message(inner, _) => find(inner, subtype),
        PartContent::Leaf => part.media.is_exactly("text", subtype).then_some(part),
    }
}

/// Removes tags, comments, scripts, style sheets and the title from HTML, and decodes common entities.
fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let hidden = ["style", "script", "title"].into_iter().find(|name| is_tag(tag, name));
        rest = match hidden {
            Some(name) => after_element(tag, name),
            None if tag.starts_with("!--") => tag.split_once("-->").map_or("", |(_, after)| after),
            None => tag.split_once('>').map_or("", |(_, after)| after),
        };
        text.push(' ');
    }
    text.push_str(rest);
    let entities = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities
        .into_iter()
        .fold(text, |text, (entity, plain)| if text.contains(entity) { text.replace(entity, plain) } else { text })
}

/// Returns the text after the end tag of an element; empty without an end tag.
fn after_element<'a>(tag: &'a str, name: &str) -> &'a str {
    let mut rest = tag;
    while let Some((_, after)) = rest.split_once("</") {
        if is_tag(after, name) {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}

/// Whether the text after `<` or `</` begins with this tag name, and not with a longer one.
fn is_tag(text: &str, name: &str) -> bool {
    text.split_at_checked(name.len()).is_some_and(|(head, rest)| {
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
        head.eq_ignore_ascii_case(name) && rest.chars().next().is_none_or(is_end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(message: &str) -> String {
        preview(message.as_bytes(), &MimePart::of(message.as_bytes()))
    }

    #[test]
    fn previews_the_shown_text() {
        let html = "Content-Type: text/html; charset=utf-8\r\n\r\n<html><STYLE>p {}</style><!-- <p>no --><p>a&nbsp;<b>b</b>\r\n&lt;c";
        let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\
            Content-Disposition: attachment\r\n\r\nno\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--";
        for (message, expect) in [
            ("A: b\r\n\r\n one\r\n\r\n\ttwo \r\n", "one two"),
            (html, "a b <c"),
            (mixed, "abc"),
            ("Content-Type: image/png\r\n\r\nabc", ""),
            ("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\none", "one"),
            ("Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\nA: b\r\n\r\none", ""),
            ("", ""),
            ("Content-Type: text/html\r\n\r\n<style>open", ""),
            ("Content-Type: text/html\r\n\r\n<styled-box>a<title\n>no</titles>no</TITLE >b", "a b"),
        ] {
            assert_eq!(of(message), expect, "{message}");
        }
        assert_eq!(of(&format!("\r\n{}", "é".repeat(1_000))).chars().count(), PREVIEW_CHARS_MAX);
        // The last octet read is the first half of a two-octet character.
        assert_eq!(
            of(&format!("\r\na{}", "é".repeat(PLAIN_OCTETS_MAX))),
            format!("a{}", "é".repeat(PREVIEW_CHARS_MAX - 1))
        );
        assert_eq!(of(&format!("\r\n{}", "ab ".repeat(1_000))).chars().count(), PREVIEW_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn any_html_is_read(html in "[a<>/!&; -]{0,60}") {
            let shown = of(&format!("Content-Type: text/html\r\n\r\n{html}"));
            prop_assert!(shown.len() <= html.len());
        }
    }
}
