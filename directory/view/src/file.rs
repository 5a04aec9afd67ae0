//! The snapshot on disk, with its cookie: one file, replaced atomically.
//!
//! The file holds a header, the cookie, the number of records, the records (postcard), and a BLAKE3 digest over all. A
//! damaged file is not used: the View then starts from the directory.
//!
//! The header names the version. Every earlier version can be read, because the file may be the only source after an
//! upgrade while no LDAP server answers; `tests/fixtures/view/` holds one file of each earlier version. A file of a
//! later version is not used, so a node that goes back to an earlier program starts from the directory.

mod layout4;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use provost_client::Cookie;
use uuid::Uuid;

use self::layout4::{Person3, Person4, Record4};
use crate::Snapshot;
use crate::cow_map::MapKey;
use crate::snapshot::ViewRecord;

/// Header of the version that is written.
const HEADER: &[u8; 16] = b"provost-view 06\n";
/// Version 5, of the same layout, whose people lack the restriction `read-only`. Its cookie is dropped: only a full
/// refresh brings it.
const HEADER_5: &[u8; 16] = b"provost-view 05\n";
/// Version 4, whose people lack restrictions, forwarding and quota class, and whose addresses lack dates and targets, and whose groups lack what they do as lists
/// ([`layout4`]). Its cookie is dropped: only a full refresh brings them.
const HEADER_4: &[u8; 16] = b"provost-view 04\n";
/// Version 3, whose people lack the state of the password ([`layout4`]). Its cookie is dropped: only a full refresh
/// brings that state.
const HEADER_3: &[u8; 16] = b"provost-view 03\n";
/// Version 2, which lacked containers. Its cookie is dropped: only a full refresh brings them.
const HEADER_2: &[u8; 16] = b"provost-view 02\n";
/// Version 1: people, addresses and domains in the layout of version 3. It lacked groups, settings and containers, so its cookie
/// is dropped too.
const HEADER_1: &[u8; 16] = b"provost-view 01\n";
/// Length of the digest at the end, octets.
const DIGEST_OCTETS: usize = blake3::OUT_LEN;
/// Size of the write buffer, octets.
const BUFFER_OCTETS: usize = 256 * 1024;

/// A writer that hashes all octets it passes on.
struct Digesting<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(octets)?;
        self.hasher.update(octets.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes a new file, syncs it, and renames it over the old one: after a power cut, the whole old or new file is there.
///
/// The file has mode 0600 (the default of `tempfile`), because it holds password hashes.
pub(crate) fn write(path: &Path, snapshot: &Snapshot, cookie: Option<&Cookie>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut out =
        BufWriter::with_capacity(BUFFER_OCTETS, Digesting { inner: file.as_file_mut(), hasher: blake3::Hasher::new() });
    out.write_all(HEADER)?;
    write_value(&mut out, &cookie.map(|cookie| cookie.as_octets()).unwrap_or_default())?;
    write_value(&mut out, &snapshot.len())?;
    for pair in snapshot.records() {
        write_value(&mut out, &pair)?;
    }
    let digest = out.into_inner().map_err(io::IntoInnerError::into_error)?.hasher.finalize();
    file.write_all(digest.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn write_value(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    postcard::to_io(value, out).map(|_| ()).map_err(io::Error::other)
}

/// Reads the file into a copy of `empty`. `None` when the file is missing, unreadable, damaged or of a later version;
/// all but a missing file are logged.
pub(crate) fn read(path: &Path, empty: &Snapshot) -> Option<(Snapshot, Option<Cookie>)> {
    let octets = match std::fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the saved View cannot be read");
            return None;
        }
    };
    let parsed = parse(&octets, empty);
    if parsed.is_none() {
        tracing::warn!(path = %path.display(), "the saved View is damaged or of a later version: it is not used");
    }
    parsed
}

/// A record with its key, as a file holds them.
type ReadRecord = (MapKey, ViewRecord);

/// Reads the first record of the octets; returns the rest too.
type LayoutReader = for<'a> fn(&'a [u8]) -> Option<(ReadRecord, &'a [u8])>;

pub(crate) fn parse(octets: &[u8], empty: &Snapshot) -> Option<(Snapshot, Option<Cookie>)> {
    let body = octets.get(..octets.len().checked_sub(DIGEST_OCTETS)?)?;
    let digest = octets.get(body.len()..)?;
    if blake3::hash(body).as_bytes() != digest {
        return None;
    }
    let (header, rest) = body.split_first_chunk()?;
    let read_record: LayoutReader = match header {
        HEADER | HEADER_5 => |rest| postcard::take_from_bytes(rest).ok(),
        HEADER_4 => |rest| {
            let ((key, record), rest) = postcard::take_from_bytes::<(MapKey, Record4<Person4>)>(rest).ok()?;
            Some(((key, record.into()), rest))
        },
        HEADER_1 | HEADER_2 | HEADER_3 => |rest| {
            let ((key, record), rest) = postcard::take_from_bytes::<(MapKey, Record4<Person3>)>(rest).ok()?;
            Some(((key, record.into()), rest))
        },
        _ => return None,
    };
    let keeps_cookie = header == HEADER;
    let (cookie, rest) = postcard::take_from_bytes::<Vec<u8>>(rest).ok()?;
    let (count, mut rest) = postcard::take_from_bytes::<usize>(rest).ok()?;
    let mut snapshot = empty.clone();
    for _ in 0..count {
        let ((key, record), after) = read_record(rest)?;
        snapshot.insert(Uuid::from_bytes(key), record);
        rest = after;
    }
    snapshot.shrink();
    Some((snapshot, (keeps_cookie && !cookie.is_empty()).then_some(Cookie::from_octets(cookie))))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::AddressKind;
    use provost_entry::Address;
    use provost_settings::ValueOrigin;

    use crate::testing::{address_entry, bare_person, domain, group, person, setting, uuid};
    use crate::{Affiliation, PersonState};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn snapshot(people: u128) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for n in 0..people {
            snapshot.insert(uuid(n), person(n, &format!("p{n}")));
            let address = format!("p{n}@example.edu");
            snapshot.insert(uuid(1_000_000 + n), address_entry(1_000_000 + n, &address, AddressKind::Primary, Some(n)));
        }
        snapshot.insert(uuid(9_000_000), domain("example.edu"));
        snapshot
    }

    fn saved(people: u128) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        write(&path, &snapshot(people), Some(&Cookie::from_octets(b"c".to_vec()))).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        assert!(read(&path, &Snapshot::default()).is_none());
        for cookie in [None, Some(Cookie::from_octets(b"csn=1".to_vec()))] {
            write(&path, &snapshot(100), cookie.as_ref()).unwrap();
            let (found, found_cookie) = read(&path, &Snapshot::default()).unwrap();
            assert_eq!((found.people(), found.len(), found_cookie), (100, 201, cookie));
            assert_eq!(found.person(uuid(7)), snapshot(100).person(uuid(7)));
            assert_eq!(found.addresses_of(uuid(7)).len(), 1);
            assert_eq!(found.domains(), ["example.edu"]);
        }
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(write(&folder.path().join("missing/view"), &snapshot(1), None).is_err());
    }

    #[test]
    fn a_file_of_a_later_version_is_not_used() {
        let mut octets = saved(2);
        octets[14] = b'9';
        let body = octets.len() - DIGEST_OCTETS;
        let digest = blake3::hash(&octets[..body]);
        octets[body..].copy_from_slice(digest.as_bytes());
        assert!(parse(&octets, &Snapshot::default()).is_none());
        assert!(parse(b"", &Snapshot::default()).is_none());
    }

    /// A file as commit 8c43545 wrote it. A new program starts from it when no LDAP server answers.
    #[test]
    fn a_file_of_version_1_is_read() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/view/v1.snapshot"));
        let (found, cookie) = read(path, &Snapshot::default()).unwrap();
        assert_eq!(cookie, None, "a full refresh must bring groups and settings");
        assert_eq!((found.people(), found.len()), (5, 13));
        assert_eq!(found.domains(), ["alumni.example.edu", "example.edu"]);
        let zoe = found.by_login("Z@example.edu").unwrap();
        assert_eq!(
            (&*zoe.uid, &*zoe.display_name, zoe.state),
            ("zoe.tremblay", "Zoé Tremblay", PersonState::Suspended)
        );
        assert_eq!((zoe.affiliation, zoe.language.as_deref()), (Affiliation::Faculty, Some("fr")));
        assert_eq!((zoe.passwords.len(), zoe.quota_octets, zoe.roles.len()), (2, Some(1_000_000), 2));
        let vacation = zoe.vacation.as_ref().unwrap();
        assert_eq!((vacation.start, vacation.end), (Some(at(1_785_542_400)), Some(at(1_788_134_399))));
        assert_eq!((vacation.interval_days, vacation.text_en.as_deref()), (3, None));
        assert_eq!(vacation.text_fr.as_deref(), Some("Absente jusqu'à lundi."));
        let of =
            |address: &str| found.by_address(&Address::parse(address).unwrap()).map(|(person, _)| person.entry_uuid);
        for (address, owner) in [
            ("dean@example.edu", Some(1)),
            ("zoe.roy@example.edu", Some(1)),
            ("postmaster@example.edu", Some(2)),
            ("gone@example.edu", Some(3)),
            ("all@example.edu", None),
            ("old@example.edu", None),
        ] {
            assert_eq!(of(address), owner.map(uuid), "{address}");
        }
        assert_eq!(
            found.person(uuid(5)).unwrap().as_ref(),
            &crate::Person { affiliation: Affiliation::Other, ..bare_person(5, "guest") }
        );
    }

    /// A file that a quickstart of version 2 wrote when it stopped: two people of a registrar's file and the help desk,
    /// two groups, and three settings, one of them invalid.
    #[test]
    fn a_file_of_version_2_is_read() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/view/v2.snapshot"));
        let (found, cookie) = read(path, &Snapshot::default()).unwrap();
        assert_eq!(cookie, None, "a full refresh must bring containers");
        assert_eq!((found.people(), found.domains()), (3, vec!["example.edu".into()]));
        let zoe = found.by_login("zoe.tremblay").unwrap();
        assert_eq!((&*zoe.display_name, zoe.affiliation), ("Zoé Tremblay", Affiliation::Student));
        assert_eq!(found.quota(&zoe, at(1_780_000_000)), Some(5_000_000_000), "the quota of her affiliation");
        let vacation = zoe.vacation.as_ref().unwrap();
        assert_eq!(vacation.end, Some(at(1_798_757_999)), "the last second of 2026 in Paris");
        assert_eq!(vacation.text_fr.as_deref(), Some("De retour lundi."));
        let (owner, _) = found.by_address(&Address::parse("postmaster@example.edu").unwrap()).unwrap();
        assert_eq!((&*owner.uid, owner.roles.len()), ("helpdesk", 1));
        let desk = found.group("service desk").unwrap();
        assert_eq!(found.members(&desk), [zoe.entry_uuid], "the other member is not in the View");
        assert!(found.members(&found.group("Empty").unwrap()).is_empty());
        let settings = found.settings();
        assert_eq!((settings.removal_guard, settings.time_zone.iana_name()), (33, Some("Europe/Paris")));
        let guard = "cn=removal-guard,ou=policies,dc=example,dc=edu".to_owned();
        assert_eq!(settings.origin("removal-guard"), ValueOrigin::LastGood(guard.clone()));
        let fault = &settings.faults()[0];
        assert_eq!((&fault.dn, fault.values.as_slice()), (&guard, ["500".to_owned()].as_slice()));
    }

    /// A file as commit d390e9a1 wrote it.
    #[test]
    fn a_file_of_version_3_is_read() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/view/v3.snapshot"));
        let (found, cookie) = read(path, &Snapshot::default()).unwrap();
        assert_eq!(cookie, None, "a full refresh must bring the states of the passwords");
        assert_eq!((found.people(), found.domains()), (4, vec!["example.edu".into()]));
        let zoe = found.by_address(&Address::parse("z@example.edu").unwrap()).unwrap().0;
        assert_eq!(
            (&*zoe.uid, &*zoe.display_name, zoe.quota_octets),
            ("zoe.tremblay", "Zoé Tremblay", Some(1_000_000))
        );
        assert_eq!(zoe.vacation.as_ref().and_then(|vacation| vacation.end), Some(at(1_788_134_399)));
        assert_eq!((zoe.passwords.len(), zoe.roles.len()), (1, 1));
        assert_eq!(zoe.password_state, crate::PasswordState::default());
        assert_eq!(found.members(&found.group("staff").unwrap()).len(), 2);
        assert_eq!(found.settings().removal_guard, 5);
    }

    /// A file that a quickstart of version 4 wrote when it stopped, after it had imported two people.
    #[test]
    fn a_file_of_version_4_is_read() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/view/v4.snapshot"));
        let (found, cookie) = read(path, &Snapshot::default()).unwrap();
        assert_eq!(cookie, None, "a full refresh must bring restrictions");
        let zoe = found.by_login("zoe.tremblay").unwrap();
        assert!(zoe.password_state.must_change && zoe.access == crate::Access::default());
        assert!(found.by_address(&Address::parse("ida.roy@example.edu").unwrap()).is_some());
    }

    /// A file that a quickstart of version 5 wrote when it stopped: one person has a lock, the other one a forwarding and
    /// the restriction `no-send`.
    #[test]
    fn a_file_of_version_5_is_read() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/view/v5.snapshot"));
        let (found, cookie) = read(path, &Snapshot::default()).unwrap();
        assert_eq!(cookie, None, "a full refresh must bring the restriction read-only");
        let (zoe, ida) = (found.by_login("zoe.tremblay").unwrap(), found.by_login("ida.roy").unwrap());
        assert_eq!((zoe.access.locks.len(), zoe.may_send(), zoe.may_change_mail()), (1, true, true));
        assert_eq!((ida.access.locks.len(), ida.may_send(), ida.may_change_mail()), (0, false, true));
        assert!(ida.access.forwarding.is_some());
    }

    #[test]
    fn groups_and_last_good_settings_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        let mut snapshot = snapshot(2);
        snapshot.insert(uuid(31), group(31, "Staff", &[0, 1]));
        snapshot.insert(uuid(41), setting("removal-guard", "5"));
        snapshot.insert(uuid(41), setting("removal-guard", "500"));
        snapshot.insert(uuid(42), setting("time-zone", "Europe/Paris"));
        write(&path, &snapshot, None).unwrap();
        let mut fallback = provost_settings::Fallback::default();
        fallback.add("retry-first", "queue.retry_first", "7").unwrap();
        let (found, _) = read(&path, &Snapshot::new(fallback)).unwrap();
        assert_eq!(found.members(&found.group("staff").unwrap()).len(), 2);
        let settings = found.settings();
        assert_eq!((settings.removal_guard, settings.time_zone.iana_name()), (5, Some("Europe/Paris")));
        assert!(matches!(settings.origin("removal-guard"), ValueOrigin::LastGood(_)));
        assert_eq!((settings.faults().len(), settings.retry_first.as_secs()), (1, 7));
    }

    /// Resident memory of this process, in octets.
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// A person takes less than 1.5 KB, address records included.
    ///
    /// Measured in a process of its own, so that the memory of other tests is not counted.
    #[test]
    fn a_person_is_small() {
        let alone = ["--exact", "file::tests::measure_a_person", "--ignored", "--nocapture"];
        let output = std::process::Command::new(std::env::current_exe().unwrap()).args(alone).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let each = text.split("octets a person: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        println!("{each} octets a person");
        assert!(each.parse::<usize>().unwrap() < 1500, "{each} octets");
    }

    #[test]
    #[ignore = "run by a_person_is_small in a process of its own"]
    fn measure_a_person() {
        const PEOPLE: u128 = 10_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        let mut snapshot = snapshot(PEOPLE);
        for n in 0..PEOPLE {
            let ViewRecord::Person(record) = person(n, &format!("p{n}")) else { unreachable!() };
            let mut whole = (*record.person).clone();
            whole.passwords = vec!["x".repeat(110).into()];
            whole.display_name = "Given-Name Family-Name".into();
            let record = crate::snapshot::PersonRecord { person: std::sync::Arc::new(whole), ..(*record).clone() };
            snapshot.insert(uuid(n), ViewRecord::Person(std::sync::Arc::new(record)));
        }
        write(&path, &snapshot, None).unwrap();
        let before = resident();
        // The first snapshot stays allocated, so resident memory grows by the size of the loaded one.
        let loaded = read(&path, &Snapshot::default()).unwrap().0;
        println!("octets a person: {}", resident().saturating_sub(before) / loaded.people());
        drop(snapshot);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// One changed octet, or a truncation at any point, invalidates the file.
        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), flip in 1_u8.., cut in any::<bool>()) {
            let octets = saved(3);
            let mut damaged = octets.clone();
            let at = at.index(octets.len());
            if cut { damaged.truncate(at) } else { damaged[at] ^= flip }
            prop_assert!(parse(&damaged, &Snapshot::default()).is_none());
        }

        /// A valid header and digest around arbitrary octets.
        #[test]
        fn arbitrary_records_cause_no_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut octets = [HEADER.as_slice(), &body].concat();
            let digest = blake3::hash(&octets);
            octets.extend(digest.as_bytes());
            let _ = parse(&octets, &Snapshot::default());
        }
    }
}
