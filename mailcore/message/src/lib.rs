//! Messages and envelopes: the one room where messages are parsed, and where those of our own are made.
//!
//! * `headers`, `tokens`, `address_list`, `parameters`, `date`, `encoded_word`: header fields and what stands in them.
//! * `mime`, `transfer`, `charset`: parts, and what is in them; `mime::seven_bit`, `transfer_encode`: the same in 7-bit octets.
//! * `derived` (`column`, `imap_envelope`, `kept_fields`, `thread`, `preview`): what is kept beside each stored message.
//! * `search_text`, `body_search` (`transfer_stream`, `charset_stream`): a message as SEARCH sees it, in pieces.
//! * `arrival`, `verdict`, `authentication`: a message that is arriving, and what the stages of SMTP find on it.
//! * `path`, `envelope`, `subaddress`, `notification`, `identity`, `received`, `reply`, `report`: envelopes of SMTP, and messages
//!   that are built here.
//!
//! Values and text only: nothing here knows a socket, a mailbox or a clock. What comes from a message is untrusted and
//! bounded; what is built here cannot be made to carry a header field that a peer chose.

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
mod verdict;

pub use address_list::{LISTED_MAX, Listed, ListedMailbox, address_list, mailboxes};
pub use arrival::{Arrival, Connection, Findings, Hello, HelloVerb, Service, TraceId};
pub use authentication::{AuthenticationMethod, AuthenticationOutcome, AuthenticationResult};
pub use body_search::{BodySearch, Fed, Searched, searched};
pub use date::SentDate;
pub use derived::{DERIVED_VERSION, Derived, derive};
pub use encoded_word::{decode_words, encode_words};
pub use envelope::{Envelope, Recipient};
pub use headers::{Field, Headers, fields, header_end};
pub use identity::{is_message_id, message_id, rfc5322_date};
pub use imap_envelope::ImapEnvelope;
pub use kept_fields::KeptFields;
pub use mime::{About, Content, Media, PART_DEPTH_MAX, Part, Unconvertible, seven_bit};
pub use notification::{EnvelopeId, NotificationError, Notify, OriginalRecipient, Return};
pub use parameters::Parameterised;
pub use path::{Path, PathError};
pub use preview::shown_text;
pub use provost_view::{Address, AddressError};
pub use received::{Received, is_looping, is_own_received};
pub use reply::Reply;
pub use report::{Report, ReportAction, ReportedRecipient};
pub use search_text::{field_text, header_text, search_form};
pub use subaddress::{split_detail, without_detail};
pub use thread::ThreadKeys;
pub use transfer::decode_transfer;
pub use verdict::{Effect, Mark, Objection, SmtpReply, Verdict};
