//! Texts of the directory: names, filters, addresses, times, LDIF.

use provost_entry::prep::{self, CaseHandling};
use provost_entry::{Address, AttributeDescription, Dn, Filter, ldif as entries, time};

/// Reads each line as every kind of text.
pub(crate) fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for line in text.split('\n') {
        dn(line);
        filter(line);
        address(line);
        attribute(line);
        moment(line);
        prepared(line);
    }
}

/// A DN that is printed and parsed stays the same. Its parent has all RDNs except the first.
fn dn(text: &str) {
    let Ok(dn) = Dn::parse(text) else { return };
    let again = Dn::parse(dn.as_str());
    assert_eq!(again.as_ref().map(Dn::normalised), Ok(dn.normalised()), "{text:?}");
    assert_eq!(again.as_ref().map(Dn::as_str), Ok(dn.as_str()), "{text:?}");
    // Normalisation can leave an empty value (RFC 4518 §2.2 maps characters to nothing), which `Dn::parse` refuses.
    // The normalised form is only a key and need not parse.
    if let Ok(normalised) = Dn::parse(dn.normalised()) {
        assert_eq!(normalised.normalised(), dn.normalised(), "{text:?}");
    }
    if let Some(parent) = dn.parent() {
        assert!(dn.is_within(&parent) && !parent.is_within(&dn), "{text:?}");
        let texts = |dn: &Dn| dn.rdns().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&parent), texts(&dn)[1..], "{text:?}");
    } else {
        assert!(dn.is_root() && dn.rdns().is_empty(), "{text:?}");
    }
}

fn filter(text: &str) {
    let Ok(filter) = Filter::parse(text) else { return };
    let written = filter.to_string();
    if written.len() <= provost_entry::FILTER_OCTETS_MAX {
        assert_eq!(Filter::parse(&written), Ok(filter), "{text:?}");
    }
}

fn address(text: &str) {
    let Ok(address) = Address::parse(text) else { return };
    assert!(address.as_str().is_ascii() && address.as_str().bytes().all(|octet| octet.is_ascii_graphic()));
    assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address));
    assert_eq!(Address::from_parts(address.local(), address.domain()).as_ref(), Ok(&address));
}

fn attribute(text: &str) {
    let Ok(name) = AttributeDescription::parse(text) else { return };
    assert_eq!(AttributeDescription::parse(name.as_str()).as_ref(), Ok(&name));
    assert!(name.is(text));
}

fn moment(text: &str) {
    let Some(moment) = time::parse_generalized(text) else { return };
    let written = time::format_generalized(moment);
    let read = time::parse_generalized(&written).expect("a formatted time parses");
    assert_eq!(read.as_second(), moment.as_second(), "{text:?}");
}

/// Preparing a prepared text (RFC 4518) does not change it.
fn prepared(text: &str) {
    for case in [CaseHandling::Ignored, CaseHandling::Exact] {
        if let Some(once) = prep::directory_string(text, case) {
            assert_eq!(prep::directory_string(&once, case).as_ref(), Some(&once), "{text:?}");
        }
    }
}

/// Valid entries survive writing and reading.
pub(crate) fn ldif(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(read) = entries::parse(&text) else { return };
    let written: String = read.iter().map(entries::write).collect();
    assert!(written.is_ascii() && written.lines().all(|line| line.len() <= 76), "{written}");
    assert_eq!(entries::parse(&written), Ok(read));
}
