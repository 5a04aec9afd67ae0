//! Extensions that a script requires (RFC 5228 §3.2).

use std::collections::HashSet;

use crate::SieveError;
use crate::arguments::Arguments;
use crate::syntax::Command;

/// The supported extensions.
const EXTENSIONS: &[&str] = &[
    "fileinto",                   // RFC 5228 §4.1
    "envelope",                   // RFC 5228 §5.4
    "comparator-i;octet",         // RFC 5228 §2.7.3
    "comparator-i;ascii-casemap", // RFC 5228 §2.7.3
    "comparator-i;ascii-numeric", // RFC 4790 §9.1
    "reject",                     // RFC 5429
    "vacation",                   // RFC 5230
    "relational",                 // RFC 5231
    "date",                       // RFC 5260
    "subaddress",                 // RFC 5233
];

/// The extensions required so far.
#[derive(Debug, Default)]
pub(crate) struct RequiredExtensions(HashSet<&'static str>);

impl RequiredExtensions {
    /// Checks that the script has required an extension that it uses (RFC 5228 §2.10.5).
    pub(crate) fn need(&self, extension: &str, line: usize) -> Result<(), SieveError> {
        if self.0.contains(extension) {
            return Ok(());
        }
        Err(SieveError::new(line, format!("'{extension}' is used but not required")))
    }

    /// Takes one `require` command; an unsupported extension is an error.
    pub(crate) fn declare(&mut self, command: &Command) -> Result<(), SieveError> {
        let mut arguments = Arguments::of(command);
        for name in arguments.strings("capabilities")? {
            let Some(known) = EXTENSIONS.iter().find(|known| **known == name) else {
                return Err(arguments.error(format_args!("the extension {name:?} is not supported")));
            };
            self.0.insert(known);
        }
        arguments.finish()
    }
}
