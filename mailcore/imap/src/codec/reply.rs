//! Status responses (RFC 3501 §7.1; response codes of RFC 3501, 4315, 4469, 5530 and 6154).

use std::borrow::Cow;

/// Longest human-readable text of a reply, characters; a longer text is cut.
const TEXT_CHARS_MAX: usize = 200;

/// OK, NO or BAD with code and text: the result of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusResponse {
    status: &'static str,
    code: Option<Cow<'static, str>>,
    text: Cow<'static, str>,
}

impl StatusResponse {
    /// The command succeeded.
    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: "OK", code: None, text: text.into() }
    }

    /// Refused or currently impossible; the response code gives the cause.
    pub(crate) fn no(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: "NO", code: Some(code.into()), text: text.into() }
    }

    /// The command is not understood, or not allowed in this state.
    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: "BAD", code: None, text: text.into() }
    }

    /// Whether the reply is OK.
    pub(crate) fn is_ok(&self) -> bool {
        self.status == "OK"
    }

    /// Whether the reply is BAD.
    pub(crate) fn is_bad(&self) -> bool {
        self.status == "BAD"
    }

    /// Adds a response code, without its brackets.
    pub(crate) fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The reply as a line under `tag` (`*` for an untagged one).
    pub(crate) fn line(&self, tag: &str) -> String {
        let mut line = format!("{tag} {} ", self.status);
        if let Some(code) = &self.code {
            line.push_str(&format!("[{code}] "));
        }
        // A line end in a text from the store must not end the reply early.
        let clean = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
        line.extend(self.text.chars().take(TEXT_CHARS_MAX).map(clean));
        line.push_str("\r\n");
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_lines() {
        assert_eq!(StatusResponse::ok("done").line("a1"), "a1 OK done\r\n");
        assert_eq!(StatusResponse::no("TRYCREATE", "no é\r\nx").line("a1"), "a1 NO [TRYCREATE] no ???x\r\n");
        assert_eq!(StatusResponse::ok("x").with_code("APPENDUID 1 2").line("*"), "* OK [APPENDUID 1 2] x\r\n");
    }
}
