//! Responses (RFC 4511 §4), encoded as octets.

use uuid::Uuid;

use crate::ber::{BerWriter, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, SET};
use crate::ldap_result::{LdapResult, ResultCode};

/// Notice of Disconnection (RFC 4511 §4.4.1).
const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";
/// Sync Info message (RFC 4533 §2.5).
const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";

/// OIDs of the controls and extended operations that the server supports.
pub(crate) mod oid {
    /// Paged results control (RFC 2696).
    pub(crate) const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
    /// Assertion control (RFC 4528).
    pub(crate) const ASSERTION: &str = "1.3.6.1.1.12";
    /// Pre-read control (RFC 4527).
    pub(crate) const PRE_READ: &str = "1.3.6.1.1.13.1";
    /// Post-read control (RFC 4527).
    pub(crate) const POST_READ: &str = "1.3.6.1.1.13.2";
    /// ManageDsaIT control (RFC 3296).
    pub(crate) const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";
    /// Sync Request control (RFC 4533 §2.2).
    pub(crate) const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
    /// Sync State control (RFC 4533 §2.3).
    pub(crate) const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
    /// Sync Done control (RFC 4533 §2.4).
    pub(crate) const SYNC_DONE: &str = "1.3.6.1.4.1.4203.1.9.1.3";
    /// StartTLS operation (RFC 4511 §4.14).
    pub(crate) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
    /// Password Modify operation (RFC 3062).
    pub(crate) const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
    /// Who am I operation (RFC 4532).
    pub(crate) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
}

/// A control of a response, never critical.
#[derive(Debug, Clone)]
pub(crate) struct ResponseControl {
    pub(crate) oid: &'static str,
    pub(crate) value: Vec<u8>,
}

/// Writes one LDAPMessage around an operation.
pub(crate) fn message(
    w: &mut BerWriter,
    id: i32,
    controls: &[ResponseControl],
    operation: impl FnOnce(&mut BerWriter),
) {
    w.within(SEQUENCE, |w| {
        w.integer(INTEGER, i64::from(id));
        operation(w);
        if !controls.is_empty() {
            w.within(0xa0, |w| controls.iter().for_each(|control| write_control(w, control)));
        }
    });
}

fn write_control(w: &mut BerWriter, control: &ResponseControl) {
    w.within(SEQUENCE, |w| {
        w.string(OCTET_STRING, control.oid.as_bytes());
        w.string(OCTET_STRING, &control.value);
    });
}

fn result_body(w: &mut BerWriter, result: &LdapResult) {
    w.integer(ENUMERATED, i64::from(result.code as u32));
    w.string(OCTET_STRING, result.matched.as_bytes());
    w.string(OCTET_STRING, result.message.as_bytes());
}

/// Encodes a response that consists of an LDAPResult.
pub(crate) fn result(id: i32, tag: u8, result: &LdapResult, controls: &[ResponseControl]) -> Vec<u8> {
    let mut w = BerWriter::default();
    message(&mut w, id, controls, |w| w.within(tag, |w| result_body(w, result)));
    w.into_octets()
}

/// Encodes an ExtendedResponse (RFC 4511 §4.12).
pub(crate) fn extended(id: i32, result: &LdapResult, name: Option<&str>, value: Option<&[u8]>) -> Vec<u8> {
    let mut w = BerWriter::default();
    message(&mut w, id, &[], |w| {
        w.within(0x78, |w| {
            result_body(w, result);
            if let Some(name) = name {
                w.string(0x8a, name.as_bytes());
            }
            if let Some(value) = value {
                w.string(0x8b, value);
            }
        });
    });
    w.into_octets()
}

/// Encodes a Notice of Disconnection (RFC 4511 §4.4.1).
pub(crate) fn disconnection(code: ResultCode, message: &str) -> Vec<u8> {
    extended(0, &LdapResult::new(code, message), Some(NOTICE_OF_DISCONNECTION), None)
}

/// Writes an attribute with its values within a search result entry.
pub(crate) fn attribute<'a>(w: &mut BerWriter, name: &str, values: impl Iterator<Item = &'a [u8]>) {
    w.within(SEQUENCE, |w| {
        w.string(OCTET_STRING, name.as_bytes());
        w.within(SET, |w| values.for_each(|value| w.string(OCTET_STRING, value)));
    });
}

/// The state in a Sync State control (RFC 4533 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncState {
    Add = 1,
    Modify = 2,
    Delete = 3,
}

/// Makes a Sync State control (RFC 4533 §2.3).
pub(crate) fn sync_state(state: SyncState, uuid: Uuid, cookie: Option<&[u8]>) -> ResponseControl {
    let mut w = BerWriter::default();
    w.within(SEQUENCE, |w| {
        w.integer(ENUMERATED, state as i64);
        w.string(OCTET_STRING, uuid.as_bytes());
        if let Some(cookie) = cookie {
            w.string(OCTET_STRING, cookie);
        }
    });
    ResponseControl { oid: oid::SYNC_STATE, value: w.into_octets() }
}

/// Makes a Sync Done control (RFC 4533 §2.4).
pub(crate) fn sync_done(cookie: &[u8], refresh_deletes: bool) -> ResponseControl {
    let mut w = BerWriter::default();
    w.within(SEQUENCE, |w| {
        w.string(OCTET_STRING, cookie);
        if refresh_deletes {
            w.boolean(true);
        }
    });
    ResponseControl { oid: oid::SYNC_DONE, value: w.into_octets() }
}

/// The content of a Sync Info message (RFC 4533 §2.5).
#[derive(Debug)]
pub(crate) enum SyncInfo<'a> {
    /// The end of the delete phase, and of the refresh.
    RefreshDelete { cookie: &'a [u8] },
    /// The end of the present phase, and of the refresh.
    RefreshPresent { cookie: &'a [u8] },
    /// Entries that were deleted (`deletes` is true), or that are unchanged.
    IdSet { deletes: bool, uuids: &'a [Uuid] },
}

/// Encodes a Sync Info message (RFC 4533 §2.5), an intermediate response.
pub(crate) fn sync_info(id: i32, info: &SyncInfo<'_>) -> Vec<u8> {
    let mut value = BerWriter::default();
    match info {
        SyncInfo::RefreshDelete { cookie } => value.within(0xa1, |w| w.string(OCTET_STRING, cookie)),
        SyncInfo::RefreshPresent { cookie } => value.within(0xa2, |w| w.string(OCTET_STRING, cookie)),
        SyncInfo::IdSet { deletes, uuids } => value.within(0xa3, |w| {
            if *deletes {
                w.boolean(true);
            }
            w.within(SET, |w| uuids.iter().for_each(|uuid| w.string(OCTET_STRING, uuid.as_bytes())));
        }),
    }
    let value = value.into_octets();
    let mut w = BerWriter::default();
    message(&mut w, id, &[], |w| {
        w.within(0x79, |w| {
            w.string(0x80, SYNC_INFO.as_bytes());
            w.string(0x81, &value);
        });
    });
    w.into_octets()
}

/// Makes the paged results control of a response (RFC 2696 §2); an `estimate` of 0 means that the number of entries is
/// unknown, an empty cookie that this is the last page.
pub(crate) fn paged_results(estimate: usize, cookie: &[u8]) -> ResponseControl {
    let mut w = BerWriter::default();
    w.within(SEQUENCE, |w| {
        w.integer(INTEGER, i64::try_from(estimate).unwrap_or(0));
        w.string(OCTET_STRING, cookie);
    });
    ResponseControl { oid: oid::PAGED_RESULTS, value: w.into_octets() }
}
