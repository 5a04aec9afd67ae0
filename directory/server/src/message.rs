//! Requests (RFC 4511 §4) and their controls, decoded from one complete frame.

use std::fmt;

use provost_credential::Secret;
use provost_entry::{AttributeDescription, FILTER_DEPTH_MAX, Filter};

use crate::ber::{self, BOOLEAN, BerReader, ENUMERATED, INTEGER, MalformedBer, OCTET_STRING, SEQUENCE, SET};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};

/// Maximum number of controls in one request; beyond, the connection ends.
pub(crate) const CONTROLS_MAX: usize = 16;
/// Maximum number of attributes that one search or read control selects or one add request lists, and of changes in one
/// modify request. A request beyond this or one of the next two bounds gets the result `adminLimitExceeded`.
pub(crate) const ATTRIBUTES_MAX: usize = 1_000;
/// Maximum number of values in one add or modify request.
pub(crate) const VALUES_MAX: usize = 100_000;
/// Maximum number of items and operators of one filter.
pub(crate) const FILTER_NODES_MAX: usize = 4_096;

/// Attribute description and values, undecoded.
pub(crate) type Attribute = (String, Vec<Vec<u8>>);

/// One LDAPMessage with a request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: i32,
    pub(crate) operation: Operation,
    pub(crate) controls: Vec<RawControl>,
}

/// A control with its undecoded value.
#[derive(Debug, Clone)]
pub(crate) struct RawControl {
    pub(crate) oid: String,
    pub(crate) critical: bool,
    pub(crate) value: Option<Vec<u8>>,
}

/// The authentication choice of a bind.
#[derive(Debug)]
pub(crate) enum Authentication {
    Simple(Secret),
    /// SASL or an unknown choice; none is supported.
    Other,
}

/// The scope of a search (RFC 4511 §4.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Base,
    One,
    Subtree,
    /// The subtree without its base (draft-sermersheim-ldap-subordinate-scope).
    Children,
}

/// A search request (RFC 4511 §4.5.1).
#[derive(Debug, Clone)]
pub(crate) struct SearchRequest {
    pub(crate) base: String,
    pub(crate) scope: Scope,
    /// Maximum number of entries; 0 is unlimited.
    pub(crate) size_limit: usize,
    /// 0 leaves the limit to the server.
    pub(crate) time_limit_seconds: u64,
    pub(crate) types_only: bool,
    pub(crate) filter: Filter,
    pub(crate) attributes: Vec<String>,
}

/// The operation of a modification (RFC 4511 §4.6), with increment (RFC 4525).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModifyKind {
    Add,
    Delete,
    Replace,
    Increment,
}

/// One change of a modify request. `Debug` shows no values: they may be passwords.
#[derive(Clone)]
pub(crate) struct ModifyItem {
    pub(crate) kind: ModifyKind,
    pub(crate) attribute: String,
    pub(crate) values: Vec<Vec<u8>>,
}

/// A write request. `Debug` shows names and no values: they may be passwords.
#[derive(Clone)]
pub(crate) enum WriteOperation {
    Add { dn: String, attributes: Vec<Attribute> },
    Modify { dn: String, items: Vec<ModifyItem> },
    Delete { dn: String },
    ModifyDn { dn: String, new_rdn: String, delete_old: bool, new_superior: Option<String> },
}

/// The operations that the server supports. `Debug` shows no values: they may be passwords.
pub(crate) enum Operation {
    Bind { version: i64, dn: String, authentication: Authentication },
    Unbind,
    Search(SearchRequest),
    Write(WriteOperation),
    Compare { dn: String, attribute: String, value: Vec<u8> },
    Abandon(i32),
    Extended { oid: String, value: Option<Vec<u8>> },
}

impl fmt::Debug for ModifyItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} (values: {})", self.kind, self.attribute, self.values.len())
    }
}

impl fmt::Debug for WriteOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { dn, .. } => write!(f, "add {dn:?}"),
            Self::Modify { dn, items } => write!(f, "modify {dn:?} {items:?}"),
            Self::Delete { dn } => write!(f, "delete {dn:?}"),
            Self::ModifyDn { dn, new_rdn, .. } => write!(f, "rename {dn:?} to {new_rdn:?}"),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { dn, .. } => write!(f, "bind {dn:?}"),
            Self::Unbind => f.write_str("unbind"),
            Self::Search(search) => write!(f, "search {:?}", search.base),
            Self::Write(write) => write.fmt(f),
            Self::Compare { dn, attribute, .. } => write!(f, "compare {dn:?} {attribute}"),
            Self::Abandon(id) => write!(f, "abandon {id}"),
            Self::Extended { oid, .. } => write!(f, "extended {oid}"),
        }
    }
}

/// Why a frame could not be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The frame is not an LDAP request, or has too many controls: the connection ends with a Notice of Disconnection.
    Malformed,
    /// The request is refused: the refusal is sent under this response tag, and the connection continues.
    Refused { id: i32, response: u8, refusal: LdapResult },
}

impl From<MalformedBer> for DecodeError {
    fn from(_: MalformedBer) -> Self {
        Self::Malformed
    }
}

/// Decodes one frame.
pub(crate) fn decode(frame: &[u8]) -> Result<Request, DecodeError> {
    let mut outer = BerReader::new(frame);
    let mut message = outer.within(SEQUENCE)?;
    let id = message.integer(INTEGER)?;
    // RFC 4511 §4.1.1.1: message id zero is reserved for unsolicited notifications.
    let id = i32::try_from(id).ok().filter(|id| *id > 0).ok_or(DecodeError::Malformed)?;
    let (tag, content) = message.element()?;
    let controls = match message.optional(0xa0)? {
        Some(content) => controls(content)?,
        None => Vec::new(),
    };
    let operation = operation(tag, content).map_err(|error| match error {
        EarlyError::Malformed => DecodeError::Malformed,
        EarlyError::Refused(refusal) => DecodeError::Refused { id, response: response_tag(tag), refusal },
    })?;
    Ok(Request { id, operation, controls })
}

/// Returns the response tag for a request tag; for a search, that of SearchResultDone.
pub(crate) fn response_tag(request: u8) -> u8 {
    match request {
        0x60 => 0x61,
        0x63 => 0x65,
        0x66 => 0x67,
        0x68 => 0x69,
        0x4a => 0x6b,
        0x6c => 0x6d,
        0x6e => 0x6f,
        _ => 0x78,
    }
}

/// A [`DecodeError`] from a function that does not know the message id.
enum EarlyError {
    Malformed,
    Refused(LdapResult),
}

impl From<MalformedBer> for EarlyError {
    fn from(_: MalformedBer) -> Self {
        Self::Malformed
    }
}

fn controls(content: &[u8]) -> Result<Vec<RawControl>, MalformedBer> {
    let mut reader = BerReader::new(content);
    let mut controls = Vec::new();
    while !reader.is_empty() {
        let mut control = reader.within(SEQUENCE)?;
        let oid = lossy_text(control.expect(OCTET_STRING)?);
        let critical = if control.peek() == Some(BOOLEAN) { control.boolean()? } else { false };
        let value = control.optional(OCTET_STRING)?.map(<[u8]>::to_vec);
        controls.push(RawControl { oid, critical, value });
        if controls.len() > CONTROLS_MAX {
            return Err(MalformedBer);
        }
    }
    Ok(controls)
}

/// Decodes an LDAPDN or RelativeLDAPDN (RFC 4511 §4.1.3). If the name is not UTF-8, the operation is refused and the
/// connection continues.
fn dn(octets: &[u8]) -> Result<String, EarlyError> {
    let text = std::str::from_utf8(octets).map(str::to_owned);
    text.map_err(|_| EarlyError::Refused(LdapResult::new(ResultCode::InvalidDnSyntax, "the name is not UTF-8")))
}

/// Decodes an LDAPOID or AttributeDescription (RFC 4511 §4.1.2, §4.1.4). Octets that are not UTF-8 become U+FFFD, which
/// is in no known name, so that the name is treated as unknown.
fn lossy_text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn operation(tag: u8, content: &[u8]) -> Result<Operation, EarlyError> {
    let mut body = BerReader::new(content);
    Ok(match tag {
        0x60 => bind(&mut body)?,
        0x42 => Operation::Unbind,
        0x63 => Operation::Search(search(&mut body)?),
        0x66 => modify(&mut body)?,
        0x68 => add(&mut body)?,
        0x4a => Operation::Write(WriteOperation::Delete { dn: dn(content)? }),
        0x6c => modify_dn(&mut body)?,
        0x6e => compare(&mut body)?,
        0x50 => Operation::Abandon(i32::try_from(ber::integer(content)?).map_err(|_| EarlyError::Malformed)?),
        0x77 => {
            let oid = lossy_text(body.expect(0x80)?);
            Operation::Extended { oid, value: body.optional(0x81)?.map(<[u8]>::to_vec) }
        }
        _ => return Err(EarlyError::Malformed),
    })
}

fn bind(body: &mut BerReader<'_>) -> Result<Operation, EarlyError> {
    let version = body.integer(INTEGER)?;
    let dn = dn(body.expect(OCTET_STRING)?)?;
    let authentication = match body.element()? {
        (0x80, password) => match std::str::from_utf8(password) {
            Ok(password) => Authentication::Simple(Secret::new(password)),
            Err(_) => return Err(EarlyError::Refused(LdapResult::new(ResultCode::InvalidCredentials, ""))),
        },
        _ => Authentication::Other,
    };
    Ok(Operation::Bind { version, dn, authentication })
}

fn search(body: &mut BerReader<'_>) -> Result<SearchRequest, EarlyError> {
    let base = dn(body.expect(OCTET_STRING)?)?;
    let scope = match body.integer(ENUMERATED)? {
        0 => Scope::Base,
        1 => Scope::One,
        2 => Scope::Subtree,
        3 => Scope::Children,
        _ => return Err(EarlyError::Refused(LdapResult::new(ResultCode::ProtocolError, "unknown scope"))),
    };
    // There are no aliases, so dereferencing makes no difference.
    body.integer(ENUMERATED)?;
    let size_limit = usize::try_from(body.integer(INTEGER)?).map_err(|_| MalformedBer)?;
    let time_limit_seconds = u64::try_from(body.integer(INTEGER)?).map_err(|_| MalformedBer)?;
    let types_only = body.boolean()?;
    let filter = filter(body)?;
    let mut list = body.within(SEQUENCE)?;
    let attributes = texts(&mut list)?;
    Ok(SearchRequest { base, scope, size_limit, time_limit_seconds, types_only, filter, attributes })
}

/// Decodes a SEQUENCE OF LDAPString.
fn texts(list: &mut BerReader<'_>) -> Result<Vec<String>, EarlyError> {
    let mut texts = Vec::new();
    while !list.is_empty() {
        texts.push(lossy_text(list.expect(OCTET_STRING)?));
        if texts.len() > ATTRIBUTES_MAX {
            return Err(limit_exceeded("too many attributes"));
        }
    }
    Ok(texts)
}

fn modify(body: &mut BerReader<'_>) -> Result<Operation, EarlyError> {
    let dn = dn(body.expect(OCTET_STRING)?)?;
    let mut list = body.within(SEQUENCE)?;
    let (mut items, mut values_left) = (Vec::new(), VALUES_MAX);
    while !list.is_empty() {
        let mut item = list.within(SEQUENCE)?;
        let kind = match item.integer(ENUMERATED)? {
            0 => ModifyKind::Add,
            1 => ModifyKind::Delete,
            2 => ModifyKind::Replace,
            3 => ModifyKind::Increment,
            _ => return Err(EarlyError::Refused(LdapResult::new(ResultCode::ProtocolError, "unknown modification"))),
        };
        let (attribute, values) = attribute(&mut item, &mut values_left)?;
        items.push(ModifyItem { kind, attribute, values });
        if items.len() > ATTRIBUTES_MAX {
            return Err(limit_exceeded("too many modifications"));
        }
    }
    Ok(Operation::Write(WriteOperation::Modify { dn, items }))
}

fn add(body: &mut BerReader<'_>) -> Result<Operation, EarlyError> {
    let dn = dn(body.expect(OCTET_STRING)?)?;
    let mut list = body.within(SEQUENCE)?;
    let (mut attributes, mut values_left) = (Vec::new(), VALUES_MAX);
    while !list.is_empty() {
        attributes.push(attribute(&mut list, &mut values_left)?);
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(limit_exceeded("too many attributes"));
        }
    }
    Ok(Operation::Write(WriteOperation::Add { dn, attributes }))
}

/// Decodes a PartialAttribute (RFC 4511 §4.1.7); `values_left` is the number of values that the rest of the
/// request may have.
fn attribute(list: &mut BerReader<'_>, values_left: &mut usize) -> Result<Attribute, EarlyError> {
    let mut attribute = list.within(SEQUENCE)?;
    let name = lossy_text(attribute.expect(OCTET_STRING)?);
    let mut set = attribute.within(SET)?;
    let mut values = Vec::new();
    while !set.is_empty() {
        values.push(set.expect(OCTET_STRING)?.to_vec());
        *values_left = values_left.checked_sub(1).ok_or_else(|| limit_exceeded("too many values"))?;
    }
    Ok((name, values))
}

fn modify_dn(body: &mut BerReader<'_>) -> Result<Operation, EarlyError> {
    let dn = dn(body.expect(OCTET_STRING)?)?;
    let new_rdn = self::dn(body.expect(OCTET_STRING)?)?;
    let delete_old = body.boolean()?;
    let new_superior = match body.optional(0x80)? {
        Some(octets) => Some(self::dn(octets)?),
        None => None,
    };
    Ok(Operation::Write(WriteOperation::ModifyDn { dn, new_rdn, delete_old, new_superior }))
}

fn compare(body: &mut BerReader<'_>) -> Result<Operation, EarlyError> {
    let dn = dn(body.expect(OCTET_STRING)?)?;
    let mut assertion = body.within(SEQUENCE)?;
    let attribute = lossy_text(assertion.expect(OCTET_STRING)?);
    Ok(Operation::Compare { dn, attribute, value: assertion.expect(OCTET_STRING)?.to_vec() })
}

/// Decodes the filter in an assertion control (RFC 4528).
pub(crate) fn assertion_filter(value: &[u8]) -> OperationResult<Filter> {
    filter(&mut BerReader::new(value)).map_err(|error| control_refusal(error, "the assertion is not a filter"))
}

fn control_refusal(error: EarlyError, malformed: &str) -> LdapResult {
    match error {
        EarlyError::Refused(refusal) => refusal,
        EarlyError::Malformed => LdapResult::new(ResultCode::ProtocolError, malformed),
    }
}

/// Decodes the attribute selection of a read control (RFC 4527).
pub(crate) fn attribute_selection(value: &[u8]) -> OperationResult<Vec<String>> {
    let list = BerReader::new(value).within(SEQUENCE).map_err(EarlyError::from);
    let read = list.and_then(|mut list| texts(&mut list));
    read.map_err(|error| control_refusal(error, "the read control has no list of attributes"))
}

fn filter(body: &mut BerReader<'_>) -> Result<Filter, EarlyError> {
    let mut nodes_left = FILTER_NODES_MAX;
    filter_node(body, FILTER_DEPTH_MAX, &mut nodes_left)
}

fn limit_exceeded(text: &str) -> EarlyError {
    EarlyError::Refused(LdapResult::new(ResultCode::AdminLimitExceeded, text))
}

/// Decodes the attribute description of a filter item; `None` when it is malformed, which makes the item Undefined.
fn description(octets: &[u8]) -> Option<AttributeDescription> {
    AttributeDescription::parse(std::str::from_utf8(octets).ok()?).ok()
}

fn protocol_error(text: &str) -> EarlyError {
    EarlyError::Refused(LdapResult::new(ResultCode::ProtocolError, text))
}

/// Decodes a filter. An item of an unknown kind or with a malformed attribute description is Undefined, and the rest of
/// the filter decides (RFC 4511 §4.5.1.7).
fn filter_node(body: &mut BerReader<'_>, depth_left: usize, nodes_left: &mut usize) -> Result<Filter, EarlyError> {
    *nodes_left = nodes_left.checked_sub(1).ok_or_else(|| limit_exceeded("the filter has too many items"))?;
    let depth_left = depth_left.checked_sub(1).ok_or_else(|| limit_exceeded("the filter is nested too deeply"))?;
    let (tag, content) = body.element()?;
    let mut inner = BerReader::new(content);
    let mut item = |make: fn(AttributeDescription, Vec<u8>) -> Filter| -> Result<Filter, EarlyError> {
        let (name, value) = (inner.expect(OCTET_STRING)?, inner.expect(OCTET_STRING)?);
        Ok(description(name).map_or(Filter::Undefined, |name| make(name, value.to_vec())))
    };
    Ok(match tag {
        0xa0 | 0xa1 => {
            let mut parts = Vec::new();
            while !inner.is_empty() {
                parts.push(filter_node(&mut inner, depth_left, nodes_left)?);
            }
            if tag == 0xa0 { Filter::And(parts) } else { Filter::Or(parts) }
        }
        0xa2 => Filter::Not(Box::new(filter_node(&mut inner, depth_left, nodes_left)?)),
        0xa3 => item(Filter::Equal)?,
        0xa4 => substring(&mut inner)?,
        0xa5 => item(Filter::GreaterOrEqual)?,
        0xa6 => item(Filter::LessOrEqual)?,
        0x87 => description(content).map_or(Filter::Undefined, Filter::Present),
        0xa8 => item(Filter::Approx)?,
        0xa9 => extensible(&mut inner)?,
        // An unknown context-specific tag: the CHOICE is extensible, so the item is Undefined.
        tag if tag & 0xc0 == 0x80 => Filter::Undefined,
        _ => return Err(EarlyError::Malformed),
    })
}

/// Checks a MatchingRuleAssertion. The item is always Undefined, because the server supports no extensible match.
fn extensible(inner: &mut BerReader<'_>) -> Result<Filter, EarlyError> {
    let mut has_value = false;
    while !inner.is_empty() {
        match inner.element()? {
            (0x81 | 0x82 | 0x84, _) => {}
            (0x83, _) => has_value = true,
            _ => return Err(protocol_error("an extensible match has an unknown part")),
        }
    }
    if has_value { Ok(Filter::Undefined) } else { Err(protocol_error("an extensible match has no value")) }
}

/// Decodes a SubstringFilter: at least one part, in order (RFC 4511 §4.5.1.7.2). An empty part makes the item Undefined
/// when it is evaluated.
fn substring(inner: &mut BerReader<'_>) -> Result<Filter, EarlyError> {
    let attribute = description(inner.expect(OCTET_STRING)?);
    let mut parts = inner.within(SEQUENCE)?;
    if parts.is_empty() {
        return Err(protocol_error("a substring filter has no part"));
    }
    let (mut initial, mut any, mut last) = (None, Vec::new(), None);
    while !parts.is_empty() {
        match parts.element()? {
            (0x80, part) if initial.is_none() && any.is_empty() && last.is_none() => initial = Some(part.to_vec()),
            (0x81, part) if last.is_none() => any.push(part.to_vec()),
            (0x82, part) if last.is_none() => last = Some(part.to_vec()),
            _ => return Err(protocol_error("the parts of a substring filter are out of order")),
        }
    }
    Ok(attribute.map_or(Filter::Undefined, |attribute| Filter::Substring { attribute, initial, any, last }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use ldap3_proto::LdapCodec;
    use ldap3_proto::proto::{
        LdapAddRequest, LdapAttribute, LdapDerefAliases, LdapMsg, LdapOp, LdapSearchRequest, LdapSearchScope,
    };
    use proptest::prelude::*;
    use tokio_util::codec::Encoder as _;

    #[test]
    fn debug_shows_no_values() {
        let items = vec![ModifyItem {
            kind: ModifyKind::Replace,
            attribute: "userPassword".to_owned(),
            values: vec![b"secret".to_vec()],
        }];
        let attributes = vec![("userPassword".to_owned(), vec![b"secret".to_vec()])];
        for operation in [
            Operation::Write(WriteOperation::Modify { dn: "cn=a".to_owned(), items }),
            Operation::Write(WriteOperation::Add { dn: "cn=a".to_owned(), attributes }),
            Operation::Compare {
                dn: "cn=a".to_owned(),
                attribute: "userPassword".to_owned(),
                value: b"secret".to_vec(),
            },
        ] {
            let text = format!("{operation:?}");
            assert!(text.contains("cn=a") && !text.contains("secret") && !text.contains("115, 101"), "{text}");
        }
    }

    fn search_request(filter: &str) -> LdapSearchRequest {
        LdapSearchRequest {
            base: "dc=e".into(),
            scope: LdapSearchScope::Subtree,
            aliases: LdapDerefAliases::Never,
            sizelimit: 3,
            timelimit: 4,
            typesonly: true,
            filter: ldap3_proto::parse_ldap_filter_str(filter).unwrap(),
            attrs: vec!["cn".into(), "+".into()],
        }
    }

    fn encoded_search(filter: &str) -> Vec<u8> {
        encoded(LdapOp::SearchRequest(search_request(filter)))
    }

    fn encoded(op: LdapOp) -> Vec<u8> {
        let mut octets = BytesMut::new();
        LdapCodec::default().encode(LdapMsg { msgid: 7, op, ctrl: vec![] }, &mut octets).unwrap();
        octets.to_vec()
    }

    // A filter that ldap3_proto has encoded is decoded to the filter that `Filter::parse` makes of the same text.
    #[test]
    fn filters_of_an_independent_codec_are_decoded() {
        for text in ["(cn=a)", "(cn=a*b*c)", "(&(a=1)(|(b>=2)(c<=3))(!(d~=4)))", "(e=*)", "(cn=*x)", "(cn=x*)"] {
            match decode(&encoded_search(text)).unwrap().operation {
                Operation::Search(search) => {
                    assert_eq!(search.filter, Filter::parse(text).unwrap(), "{text}");
                    assert_eq!((search.size_limit, search.time_limit_seconds, search.types_only), (3, 4, true));
                    assert_eq!((search.scope, search.attributes.len()), (Scope::Subtree, 2));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    // RFC 4511 §4.1.6: an assertion value is an OCTET STRING.
    #[test]
    fn assertion_values_need_not_be_utf8() {
        let mut octets = encoded_search("(cn=ab)");
        let at = octets.windows(2).position(|window| window == b"ab").unwrap();
        octets[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
        assert!(decode(&octets).is_ok());
    }

    // The bounds are ours, so a request beyond them is refused and the connection continues.
    #[test]
    fn requests_beyond_the_bounds_are_refused() {
        let deep = format!("{}(a=1){}", "(!".repeat(FILTER_DEPTH_MAX), ")".repeat(FILTER_DEPTH_MAX));
        let wide = format!("(&{})", "(a=1)".repeat(FILTER_NODES_MAX));
        let attributes = LdapOp::SearchRequest(LdapSearchRequest {
            attrs: vec!["cn".into(); ATTRIBUTES_MAX + 1],
            ..search_request("(cn=a)")
        });
        let add = |attributes, values| {
            let attribute = LdapAttribute { atype: "cn".into(), vals: vec![b"x".to_vec(); values] };
            LdapOp::AddRequest(LdapAddRequest { dn: "dc=e".into(), attributes: vec![attribute; attributes] })
        };
        for (name, op, response) in [
            ("depth", LdapOp::SearchRequest(search_request(&deep)), 0x65),
            ("items", LdapOp::SearchRequest(search_request(&wide)), 0x65),
            ("selected attributes", attributes, 0x65),
            ("added attributes", add(ATTRIBUTES_MAX + 1, 1), 0x69),
            ("values", add(1, VALUES_MAX + 1), 0x69),
        ] {
            match decode(&encoded(op)) {
                Err(DecodeError::Refused { id: 7, response: found, refusal }) => {
                    assert_eq!((found, refusal.code), (response, ResultCode::AdminLimitExceeded), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    // RFC 4511 §4.5.1.7: unrecognised items are Undefined, malformed filters are refused. `Err(None)` ends the
    // connection.
    #[test]
    fn unrecognised_filter_items_are_undefined() {
        let is_undefined = |octets: &[u8]| {
            let read = filter(&mut BerReader::new(octets));
            read.map(|filter| filter == Filter::Undefined).map_err(|wrong| match wrong {
                EarlyError::Malformed => None,
                EarlyError::Refused(refusal) => Some(refusal.code),
            })
        };
        for (octets, expect) in [
            (&[0xa9, 3, 0x83, 1, b'x'][..], Ok(true)),
            (&[0xa9, 9, 0x81, 1, b'r', 0x82, 1, b'a', 0x83, 1, b'x'], Ok(true)),
            (&[0xa9, 9, 0x82, 1, 0xff, 0x83, 1, b'x', 0x84, 1, 0xff], Ok(true)),
            (&[0xa9, 3, 0x82, 1, b'a'], Err(Some(ResultCode::ProtocolError))),
            (&[0xa9, 6, 0x83, 1, b'x', 0x8a, 1, b'a'], Err(Some(ResultCode::ProtocolError))),
            (&[0xa3, 5, 4, 0, 4, 1, b'x'], Ok(true)),
            (&[0xa3, 6, 4, 1, 0xff, 4, 1, b'x'], Ok(true)),
            (&[0x87, 0], Ok(true)),
            (&[0x87, 2, b'_', b'a'], Ok(true)),
            (&[0x8c, 0], Ok(true)),
            (&[0xa4, 5, 4, 1, b'a', 0x30, 0], Err(Some(ResultCode::ProtocolError))),
            (&[0xa4, 11, 4, 1, b'a', 0x30, 6, 0x82, 1, b'x', 0x80, 1, b'y'], Err(Some(ResultCode::ProtocolError))),
            (&[0xa4, 8, 4, 1, 0xff, 0x30, 3, 0x82, 1, b'x'], Ok(true)),
            (&[0x04, 0], Err(None)),
        ] {
            assert_eq!(is_undefined(octets), expect, "{octets:x?}");
        }
    }

    // RFC 4511 §4.1.2 to §4.1.4: a name, type or OID that is not UTF-8 affects only its own operation.
    #[test]
    fn texts_that_are_not_utf8_affect_only_their_operation() {
        for (tag, body, expect) in [
            (0x60, &[2, 1, 3, 4, 1, 0xff, 0x80, 1, b'x'][..], Some(ResultCode::InvalidDnSyntax)),
            (0x4a, &[0xff], Some(ResultCode::InvalidDnSyntax)),
            (0x6e, &[4, 1, 0xff, 0x30, 6, 4, 1, b'a', 4, 1, b'x'], Some(ResultCode::InvalidDnSyntax)),
            (0x6e, &[4, 0, 0x30, 6, 4, 1, 0xff, 4, 1, b'x'], None),
            (0x68, &[4, 1, 0xff, 0x30, 0], Some(ResultCode::InvalidDnSyntax)),
            (0x68, &[4, 0, 0x30, 7, 0x30, 5, 4, 1, 0xff, 0x31, 0], None),
            (0x66, &[4, 1, 0xff, 0x30, 0], Some(ResultCode::InvalidDnSyntax)),
            (0x6c, &[4, 0, 4, 1, 0xff, 1, 1, 0], Some(ResultCode::InvalidDnSyntax)),
            (0x6c, &[4, 0, 4, 0, 1, 1, 0, 0x80, 1, 0xff], Some(ResultCode::InvalidDnSyntax)),
            (0x77, &[0x80, 1, 0xff], None),
        ] {
            let mut w = ber::BerWriter::default();
            w.within(SEQUENCE, |w| {
                w.integer(INTEGER, 1);
                w.string(tag, body);
                w.within(0xa0, |w| w.within(SEQUENCE, |w| w.string(OCTET_STRING, &[0xff])));
            });
            let refused = match decode(&w.into_octets()) {
                Ok(request) => {
                    assert_eq!(request.controls.len(), 1);
                    None
                }
                Err(DecodeError::Refused { refusal, .. }) => Some(refusal.code),
                Err(error) => panic!("{tag:x} {body:x?}: {error:?}"),
            };
            assert_eq!(refused, expect, "{tag:x} {body:x?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&octets);
        }

        #[test]
        fn damaged_requests_are_read_or_refused(at in 0_usize..60, octet: u8) {
            let mut octets = encoded_search("(&(cn=a*b*c)(!(x>=2)))");
            if let Some(there) = octets.get_mut(at) {
                *there = octet;
            }
            let _ = decode(&octets);
        }
    }
}
