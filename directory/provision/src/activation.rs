//! Codes of activation links, the mail that carries one, and the letters that are printed.

mod code;
mod letter;
mod mail;
mod words;

pub(crate) use code::{ActivationCode, CodeUse};
pub use letter::{LetterPages, LetterSite};
pub(crate) use mail::InvitationMail;
