//! Messages and envelopes. This is the only room that parses messages; it also builds the messages that the site sends
//! itself, such as bounces and automatic replies.
//!
//! * `headers`, `tokens`, `address_list`, `parameters`, `date`, `encoded_word`: header fields and the syntax of their
//!   values.
//! * `mime`, `transfer`, `charset`: MIME parts and the decoding of their content; `mime::seven_bit`, `transfer_encode`:
//!   conversion to 7-bit content.
//! * `derived` (`column`, `imap_envelope`, `kept_fields`, `thread`, `preview`): columns stored beside each message.
//! * `search_text`, `body_search` (`transfer_stream`, `charset_stream`): decoded text for SEARCH, as a whole or in
//!   pieces.
//! * `arrival`, `verdict`, `authentication`: an arriving message, and the results of the SMTP stages for it.
//! * `path`, `envelope`, `subaddress`, `notification`, `identity`, `received`, `reply`, `report`: SMTP envelopes, and
//!   messages that the site builds.
//!
//! Values and text only: nothing here uses a socket, a mailbox or a clock. Input from a message is untrusted and
//! bounded. A peer cannot add a header field to a message that is built here.

mod address_list;
mod arrival;
mod authentication;
mod body_search;
mod charset;
mod charset_stream;
mod column;
mod date;
mod derived;
mod encoded_word;
mod envelope;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod identity;
mod imap_envelope;
mod kept_fields;
mod mime;
mod notification;
mod parameters;
mod path;
mod preview;
mod received;
mod reply;
mod report;
mod search_text;
mod subaddress;
mod thread;
mod tokens;
mod transfer;
mod transfer_encode;
mod transfer_stream;
mod valid_since;
mod verdict;

pub use address_list::{LISTED_MAX, ListedAddress, ListedMailbox, address_list, mailboxes};
pub use arrival::{Arrival, Findings, Hello, HelloVerb, PeerConnection, Service, TraceId};
pub use authentication::{AuthenticationMethod, AuthenticationOutcome, AuthenticationResult};
pub use body_search::{BodySearch, FeedResult, SearchedSection, searched};
pub use date::SentDate;
pub use derived::{DERIVED_VERSION, Derived, derive};
pub use encoded_word::{decode_words, encode_words};
pub use envelope::{Envelope, Recipient};
pub use headers::{HeaderField, HeaderSection, fields, header_end, other_lines};
pub use identity::{is_message_id, message_id, rfc5322_date};
pub use imap_envelope::ImapEnvelope;
pub use kept_fields::KeptFields;
pub use mime::{ContentAttributes, MediaType, MimePart, PART_DEPTH_MAX, PartContent, Unconvertible, seven_bit};
pub use notification::{EnvelopeId, NotificationError, Notify, OriginalRecipient, ReturnContent};
pub use parameters::Parameterised;
pub use path::{Path, PathError};
pub use preview::shown_text;
pub use provost_view::{Address, AddressError};
pub use received::{ReceivedField, is_looping, is_own_received};
pub use reply::AutoReply;
pub use report::{DeliveryReport, ReportAction, ReportedRecipient};
pub use search_text::{field_text, header_text, search_form};
pub use subaddress::{split_detail, without_detail};
pub use thread::ThreadKeys;
pub use transfer::decode_transfer;
pub use valid_since::{parse_valid_since, valid_since_fields};
pub use verdict::{MarkEffect, Rejected, SmtpReply, StageMark, Verdict};
