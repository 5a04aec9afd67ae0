//! Request controls (RFC 4511 §4.1.11): which ones apply to which operation.

use crate::ber::{BerReader, ENUMERATED, INTEGER, MalformedBer, OCTET_STRING, SEQUENCE};
use crate::change::WriteControls;
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::message::{self, RawControl, WriteOperation};
use crate::reply::oid;

/// A request for one page of a search (RFC 2696).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// Entries on the page; 0 with a cookie ends the search.
    pub(crate) size: usize,
    pub(crate) cookie: Vec<u8>,
}

/// A sync request (RFC 4533 §2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyncRequest {
    /// Whether the mode is refreshAndPersist.
    pub(crate) persist: bool,
    pub(crate) cookie: Vec<u8>,
}

/// The operations that differ in the controls they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlledOperation {
    Search,
    Compare,
    Add,
    Modify,
    ModifyDn,
    Delete,
    Other,
}

impl ControlledOperation {
    /// Returns the operation of a write request.
    pub(crate) fn of(operation: &WriteOperation) -> Self {
        match operation {
            WriteOperation::Add { .. } => Self::Add,
            WriteOperation::Modify { .. } => Self::Modify,
            WriteOperation::ModifyDn { .. } => Self::ModifyDn,
            WriteOperation::Delete { .. } => Self::Delete,
        }
    }

    /// Whether the operation takes the pre-read control: its entry exists before (RFC 4527 §3.1).
    fn takes_pre_read(self) -> bool {
        matches!(self, Self::Modify | Self::ModifyDn | Self::Delete)
    }

    /// Whether the operation takes the post-read control: its entry exists afterwards (RFC 4527 §3.2).
    fn takes_post_read(self) -> bool {
        matches!(self, Self::Add | Self::Modify | Self::ModifyDn)
    }
}

/// The decoded controls of one request.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    pub(crate) write: WriteControls,
    pub(crate) page: Option<PageRequest>,
    pub(crate) sync: Option<SyncRequest>,
}

/// Decodes the controls that apply to the operation. A malformed or missing value is an error. A control that does not
/// apply is ignored, or, when critical, refused with `unavailableCriticalExtension`.
pub(crate) fn read(raw: &[RawControl], target: ControlledOperation) -> OperationResult<Controls> {
    let mut controls = Controls::default();
    for control in raw {
        let value = || {
            let missing = || LdapResult::new(ResultCode::ProtocolError, format!("control {}: no value", control.oid));
            control.value.as_deref().ok_or_else(missing)
        };
        let malformed = |_: MalformedBer| {
            LdapResult::new(ResultCode::ProtocolError, format!("control {}: malformed value", control.oid))
        };
        let selection = || message::attribute_selection(value()?).map(Some);
        match (control.oid.as_str(), target) {
            (oid::MANAGE_DSA_IT, target) if target != ControlledOperation::Other => {}
            (oid::ASSERTION, target) if target != ControlledOperation::Other => {
                controls.write.assertion = Some(message::assertion_filter(value()?)?);
            }
            (oid::PRE_READ, target) if target.takes_pre_read() => controls.write.pre_read = selection()?,
            (oid::POST_READ, target) if target.takes_post_read() => controls.write.post_read = selection()?,
            (oid::PAGED_RESULTS, ControlledOperation::Search) => {
                controls.page = Some(page_request(value()?).map_err(malformed)?);
            }
            (oid::SYNC_REQUEST, ControlledOperation::Search) => {
                controls.sync = Some(sync_request(value()?).map_err(malformed)?);
            }
            _ if control.critical => {
                let text = format!("control {} is not supported for this operation", control.oid);
                return Err(LdapResult::new(ResultCode::UnavailableCriticalExtension, text));
            }
            _ => {}
        }
    }
    if controls.page.is_some() && controls.sync.is_some() {
        return Err(LdapResult::new(ResultCode::UnwillingToPerform, "sync and paged results cannot be combined"));
    }
    Ok(controls)
}

fn page_request(value: &[u8]) -> Result<PageRequest, MalformedBer> {
    let mut body = BerReader::new(value).within(SEQUENCE)?;
    let size = usize::try_from(body.integer(INTEGER)?).map_err(|_| MalformedBer)?;
    Ok(PageRequest { size, cookie: body.expect(OCTET_STRING)?.to_vec() })
}

fn sync_request(value: &[u8]) -> Result<SyncRequest, MalformedBer> {
    let mut body = BerReader::new(value).within(SEQUENCE)?;
    let persist = match body.integer(ENUMERATED)? {
        1 => false,
        3 => true,
        _ => return Err(MalformedBer),
    };
    let cookie = body.optional(OCTET_STRING)?.unwrap_or_default().to_vec();
    Ok(SyncRequest { persist, cookie })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(oid: &str, critical: bool, value: Option<&[u8]>) -> Vec<RawControl> {
        vec![RawControl { oid: oid.into(), critical, value: value.map(<[u8]>::to_vec) }]
    }

    // RFC 4511 §4.1.11: an unsupported control gives result 12 when critical, and is ignored otherwise. The last
    // control is supported, but its value is missing.
    #[test]
    fn unsupported_controls_are_refused_only_when_critical() {
        for (oid, critical, target, expect) in [
            ("1.2.3", true, ControlledOperation::Modify, Some(ResultCode::UnavailableCriticalExtension)),
            ("1.2.3", false, ControlledOperation::Modify, None),
            ("\u{fffd}", true, ControlledOperation::Modify, Some(ResultCode::UnavailableCriticalExtension)),
            ("\u{fffd}", false, ControlledOperation::Modify, None),
            (oid::PRE_READ, true, ControlledOperation::Add, Some(ResultCode::UnavailableCriticalExtension)),
            (oid::PRE_READ, false, ControlledOperation::Add, None),
            (oid::POST_READ, true, ControlledOperation::Delete, Some(ResultCode::UnavailableCriticalExtension)),
            (oid::POST_READ, false, ControlledOperation::Delete, None),
            (oid::PRE_READ, true, ControlledOperation::Search, Some(ResultCode::UnavailableCriticalExtension)),
            (oid::PAGED_RESULTS, true, ControlledOperation::Add, Some(ResultCode::UnavailableCriticalExtension)),
            (oid::MANAGE_DSA_IT, true, ControlledOperation::Search, None),
            (oid::ASSERTION, true, ControlledOperation::Other, Some(ResultCode::UnavailableCriticalExtension)),
            (oid::ASSERTION, true, ControlledOperation::Add, Some(ResultCode::ProtocolError)),
        ] {
            let read = read(&control(oid, critical, None), target);
            assert_eq!(read.err().map(|refusal| refusal.code), expect, "{oid} {target:?}");
        }
    }

    #[test]
    fn control_values_are_decoded_or_refused() {
        let page = [0x30, 5, 2, 1, 10, 4, 0];
        let sync = [0x30, 6, 10, 1, 3, 4, 1, b'x'];
        let read_page =
            read(&control(oid::PAGED_RESULTS, true, Some(&page)), ControlledOperation::Search).unwrap().page;
        assert_eq!(read_page, Some(PageRequest { size: 10, cookie: vec![] }));
        let read_sync = read(&control(oid::SYNC_REQUEST, true, Some(&sync)), ControlledOperation::Search).unwrap().sync;
        assert_eq!(read_sync, Some(SyncRequest { persist: true, cookie: b"x".to_vec() }));
        for bad in [&[0x30, 3, 10, 1, 2][..], &[0x30, 3, 2, 1, 255], &[4, 0]] {
            assert!(read(&control(oid::SYNC_REQUEST, false, Some(bad)), ControlledOperation::Search).is_err());
            assert!(read(&control(oid::PAGED_RESULTS, false, Some(bad)), ControlledOperation::Search).is_err());
        }
        let mut both = control(oid::PAGED_RESULTS, true, Some(&page));
        both.extend(control(oid::SYNC_REQUEST, true, Some(&sync)));
        assert_eq!(read(&both, ControlledOperation::Search).unwrap_err().code, ResultCode::UnwillingToPerform);
    }
}
