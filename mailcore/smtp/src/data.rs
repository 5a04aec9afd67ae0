//! Message data between `354` and `<CRLF>.<CRLF>` (RFC 5321 §4.1.1.4, §4.5.2).

use bytes::{Buf, Bytes, BytesMut};
use provost_net::Reservation;

/// Smallest initial capacity for a message, octets: most messages are smaller, and larger ones grow by doubling.
const FIRST_OCTETS: usize = 16 * 1024;

/// Why the data is refused. The session still reads to the end of data before it replies.
///
/// Of several faults, the one listed last here is reported, whatever their order in the message. After a fault, length
/// and memory are no longer checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DataFault {
    /// The memory budget has no room for the message now, or the client's address has used its share of the budget.
    NoRoom,
    /// More octets than the offered SIZE (RFC 1870).
    TooLong,
    /// A NUL, which RFC 5322 §2.1 does not allow.
    Nul,
    /// A CR or LF alone (RFC 5321 §2.3.8). Some servers treat one as a line end, which makes SMTP smuggling possible.
    BareLineEnd,
}

/// The state of the data after one piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataProgress {
    /// The end of data has not arrived.
    More,
    /// The end of data has arrived; the rest of the input is the next command.
    Done(Result<Bytes, DataFault>),
}

/// Reads message data in pieces of any size, with one copy from the input to the message and no allocation per line.
#[derive(Debug)]
pub(crate) struct DataReader {
    message: BytesMut,
    octets_left: u64,
    octets_read: u64,
    at_line_start: bool,
    fault: Option<DataFault>,
    /// Counts the capacity of `message`, and after the end of data the finished message.
    reservation: Reservation,
    /// The largest capacity that the message can need, octets.
    room_max: usize,
}

impl DataReader {
    /// The message begins with `trace`; the data may have at most `octets_max`. `announced` is the SIZE of MAIL.
    /// `reservation` counts the memory until the reader is dropped.
    pub(crate) fn new(trace: &[u8], octets_max: u64, announced: Option<u64>, reservation: Reservation) -> Self {
        let room = announced.and_then(|octets| usize::try_from(octets.min(octets_max)).ok()).unwrap_or_default();
        // A peer that announces a large message and sends nothing must not cost much memory.
        let room = trace.len() + room.clamp(FIRST_OCTETS, 4 * FIRST_OCTETS);
        let mut reader = Self {
            message: BytesMut::new(),
            octets_left: octets_max,
            octets_read: 0,
            at_line_start: true,
            fault: None,
            reservation,
            room_max: usize::try_from(octets_max).unwrap_or(usize::MAX).saturating_add(trace.len()),
        };
        if reader.make_room(room) {
            reader.message.extend_from_slice(trace);
        }
        reader
    }

    /// Octets read so far, with stuffed dots and the end of data.
    pub(crate) fn octets_read(&self) -> u64 {
        self.octets_read
    }

    /// Takes the octets of `input` up to the end of data. Before that end arrives, at most two octets stay in `input`:
    /// their meaning depends on the next octet.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> DataProgress {
        let (used, is_done) = self.scan(input);
        input.advance(used);
        self.octets_read += used as u64;
        if !is_done {
            return DataProgress::More;
        }
        let message = std::mem::take(&mut self.message).freeze();
        DataProgress::Done(self.fault.map_or(Ok(message), Err))
    }

    /// Returns the octets used, and whether the end of data was among them.
    fn scan(&mut self, input: &[u8]) -> (usize, bool) {
        // Whole runs of lines are copied at once, from `run` up to a stuffed dot or the end of the input.
        let (mut run, mut at) = (0, 0);
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if self.at_line_start {
                match rest {
                    [] => {}
                    [b'.', b'\r', b'\n', ..] => {
                        self.store(input.get(run..at));
                        return (at + 3, true);
                    }
                    [b'.'] | [b'.', b'\r'] => {
                        self.store(input.get(run..at));
                        return (at, false);
                    }
                    [b'.', ..] => {
                        // RFC 5321 §4.5.2: the first dot of a line was put there by the client.
                        self.store(input.get(run..at));
                        at += 1;
                        run = at;
                        self.at_line_start = false;
                        continue;
                    }
                    _ => self.at_line_start = false,
                }
            }
            let Some(found) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.store(input.get(run..));
                return (input.len(), false);
            };
            at += found;
            match input.get(at..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {
                    at += 2;
                    self.at_line_start = true;
                }
                [b'\r'] => {
                    self.store(input.get(run..at));
                    return (at, false);
                }
                [0, ..] => {
                    self.fail(DataFault::Nul);
                    at += 1;
                }
                _ => {
                    self.fail(DataFault::BareLineEnd);
                    at += 1;
                }
            }
        }
    }

    fn store(&mut self, run: Option<&[u8]>) {
        let run = run.unwrap_or_default();
        let octets = u64::try_from(run.len()).unwrap_or(u64::MAX);
        if self.fault.is_some() {
            return;
        }
        let Some(left) = self.octets_left.checked_sub(octets) else { return self.fail(DataFault::TooLong) };
        self.octets_left = left;
        if self.make_room(run.len()) {
            self.message.extend_from_slice(run);
        }
    }

    /// Reserves `octets` more, or records the fault and returns false. The capacity doubles when it grows, up to the
    /// largest message.
    fn make_room(&mut self, octets: usize) -> bool {
        let (needed, has) = (self.message.len().saturating_add(octets), self.message.capacity());
        if needed <= has {
            return true;
        }
        let room = needed.max(has.saturating_mul(2).min(self.room_max));
        if !self.reservation.grow((room - has) as u64) {
            metrics::counter!("provost_memory_budget_refused_total", "what" => "message").increment(1);
            self.fail(DataFault::NoRoom);
            return false;
        }
        self.message.reserve(room - self.message.len());
        true
    }

    /// Records a fault and frees what was stored: a faulty message must not hold memory until its end arrives.
    fn fail(&mut self, fault: DataFault) {
        self.fault = self.fault.max(Some(fault));
        self.message = BytesMut::new();
        self.reservation.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{end_of, stuffed};
    use proptest::prelude::*;
    use provost_net::MemoryBudget;

    /// Feeds `wire` cut at `cuts`; returns the outcome and the rest of the input.
    fn read(wire: &[u8], cuts: &[usize], octets_max: u64) -> (Option<Result<Bytes, DataFault>>, Vec<u8>) {
        let mut reader = DataReader::new(b"", octets_max, None, MemoryBudget::default().body());
        let mut input = BytesMut::new();
        let mut outcome = None;
        let mut before = 0;
        for cut in cuts.iter().copied().chain([wire.len()]) {
            input.extend_from_slice(&wire[before..cut]);
            before = cut;
            if outcome.is_none()
                && let DataProgress::Done(done) = reader.read(&mut input)
            {
                outcome = Some(done);
            }
        }
        (outcome, input.to_vec())
    }

    /// RFC 5321 §4.1.1.4, §4.5.2: only CRLF.CRLF ends the data, and the first dot of each line is removed, also in the
    /// first line.
    #[test]
    fn reads_data_up_to_its_end() {
        for (wire, expect, left) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"hi\r\n.\r\n", b"hi\r\n", b""),
            (b"hi\r\n.\r\nQUIT\r\n", b"hi\r\n", b"QUIT\r\n"),
            (b"..hi\r\n.\r\n", b".hi\r\n", b""),
            (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", b""),
            (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n", b""),
            (b"a.\r\n\r\n.\r\n", b"a.\r\n\r\n", b""),
            (b"\xc3\xa9\r\n.\r\n", b"\xc3\xa9\r\n", b""),
        ] {
            assert_eq!(read(wire, &[], 1000), (Some(Ok(Bytes::from_static(expect))), left.to_vec()), "{wire:?}");
        }
    }

    /// Every combination of line ends before and after the dot: only CRLF on both sides ends the data. A CR or LF
    /// outside CRLF, or a NUL, makes the message faulty.
    #[test]
    fn only_crlf_dot_crlf_ends_the_data() {
        let ends: [&[u8]; 6] = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n"];
        for before in ends {
            for after in ends {
                let smuggled = b"MAIL FROM:<evil@example.org>\r\n";
                let wire = [b"a", before, b".", after, smuggled, b".\r\n"].concat();
                let (outcome, left) = read(&wire, &[], 1000);
                if before.ends_with(b"\r\n") && after == b"\r\n" {
                    assert!(left.starts_with(smuggled), "{before:?} {after:?}");
                    assert_eq!(outcome.unwrap().is_ok(), before == b"\r\n", "{before:?} {after:?}");
                } else {
                    assert!(
                        matches!(outcome, Some(Err(DataFault::BareLineEnd | DataFault::Nul))),
                        "{before:?} {after:?}"
                    );
                    assert_eq!(left, b"", "{before:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn a_fault_is_reported_at_the_end_only() {
        for (wire, fault) in [
            (&b"a\nb\r\n.\r\n"[..], DataFault::BareLineEnd),
            (b"a\rb\r\n.\r\n", DataFault::BareLineEnd),
            (b"a\0b\r\n.\r\n", DataFault::Nul),
            (b"\0\n\r\n.\r\n", DataFault::BareLineEnd),
            (b"12345678901\r\n.\r\n", DataFault::TooLong),
            (b"12345678901\r\n\n\r\n.\r\n", DataFault::BareLineEnd),
        ] {
            assert_eq!(read(wire, &[], 10).0, Some(Err(fault)), "{wire:?}");
        }
        assert_eq!(read(b"12345678\r\n.\r\n", &[], 10).0, Some(Ok(Bytes::from_static(b"12345678\r\n"))));
        assert_eq!(read(b"a\nb\r\n", &[], 10).0, None);
    }

    #[test]
    fn a_faulty_message_holds_no_memory() {
        let budget = MemoryBudget::new(1_000_000);
        let mut reader = DataReader::new(b"", 1_000_000, None, budget.body());
        let mut input = BytesMut::from(&vec![b'x'; 100_000][..]);
        assert_eq!(reader.read(&mut input), DataProgress::More);
        assert!(budget.used() >= 100_000 && reader.octets_read() == 100_000);
        input.extend_from_slice(b"\n");
        assert_eq!(reader.read(&mut input), DataProgress::More);
        assert_eq!(budget.used(), 0);
        input.extend_from_slice(&vec![b'x'; 100_000]);
        assert_eq!((reader.read(&mut input), reader.message.capacity()), (DataProgress::More, 0));
    }

    /// The memory of a message counts until its reader is dropped.
    #[test]
    fn a_message_beyond_the_budget_has_no_room() {
        let budget = MemoryBudget::new(100_000);
        let mut first = DataReader::new(b"", 1_000_000, None, budget.body());
        let mut input = BytesMut::from(&[&[b'x'; 40_000][..], b"\r\n.\r\n"].concat()[..]);
        let done = first.read(&mut input);
        assert!(matches!(done, DataProgress::Done(Ok(_))), "{done:?}");
        let mut second = DataReader::new(b"", 1_000_000, None, budget.body());
        let mut input = BytesMut::from(&[&[b'x'; 70_000][..], b"\r\n.\r\n"].concat()[..]);
        assert_eq!(second.read(&mut input), DataProgress::Done(Err(DataFault::NoRoom)));
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    /// `body_octets_max` is a quarter of the budget. A message of that size never reserves more than its own size,
    /// although the buffer grows by doubling.
    #[test]
    fn the_largest_message_fits_into_its_part_of_the_budget() {
        let budget = MemoryBudget::new(400_000);
        let octets = usize::try_from(budget.body_octets_max()).unwrap();
        let mut reader = DataReader::new(b"", budget.body_octets_max(), None, budget.body());
        let mut input = BytesMut::from(&[&vec![b'x'; octets - 2][..], b"\r\n.\r\n"].concat()[..]);
        let mut first = input.split_to(octets / 3);
        assert_eq!(reader.read(&mut first), DataProgress::More);
        assert!(matches!(reader.read(&mut input), DataProgress::Done(Ok(message)) if message.len() == octets));
        assert!(budget.used() <= budget.body_octets_max());
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_outcome(wire in "[.\r\n\0a]{0,40}", cuts in proptest::collection::vec(0usize..40, 0..8)) {
            let wire = [wire.as_bytes(), b"\r\n.\r\n"].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < wire.len()).collect();
            cuts.sort_unstable();
            prop_assert_eq!(read(&wire, &cuts, 12), read(&wire, &[], 12));
            let each: Vec<usize> = (0..wire.len()).collect();
            prop_assert_eq!(read(&wire, &each, 12), read(&wire, &[], 12));
        }

        #[test]
        fn stuffed_data_is_read_back_unchanged(lines in proptest::collection::vec("[.a ]{0,5}", 0..10)) {
            let message = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let parts = stuffed(message.as_bytes()).chain([end_of(message.as_bytes())]);
            let wire = parts.collect::<Vec<_>>().concat();
            prop_assert_eq!(read(&wire, &[], 1000), (Some(Ok(Bytes::from(message))), Vec::new()));
        }
    }
}
