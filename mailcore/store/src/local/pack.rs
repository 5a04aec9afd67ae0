//! Packs: append-only files of bodies.
//!
//! A record is `magic, octets, one checksum per 64 KiB, body`. Rows refer to records by pack and offset, and are
//! committed only after the record is synced. A torn record that a crash leaves at the end is never referred to, and
//! the next record begins after it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::fault::{damaged, unavailable};
use super::folder::sync_folder;
use crate::StoreError;
use crate::mailbox::clip;

/// Size at which a pack is full, octets: compaction rewrites one in some seconds, and a shard of 100 GB has a few
/// hundred files.
pub(super) const PACK_OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// Octets covered by one checksum, so that a part of a large message can be read and checked by itself.
const CHUNK_OCTETS: u64 = 64 * 1024;
/// Octets kept of a BLAKE3 hash: enough to detect accidents.
const CHECKSUM_OCTETS: usize = 8;
/// First octets of each record, with the version of its layout.
const MAGIC: [u8; 4] = *b"PVb1";
/// Octets of a record before its checksums: 4 of [`MAGIC`], and 8 for the length of the body.
const HEAD_OCTETS: u64 = 12;
/// Maximum number of bodies in one write, each with its prefix: a system call takes 1,024 pieces (IOV_MAX).
const WRITE_BODIES: usize = 512;
/// Maximum number of packs that a shard keeps open for later reads, which bounds its file descriptors.
const FILES_OPEN_MAX: usize = 64;

/// The place of a body in a folder's packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackPosition {
    pub(super) pack: u32,
    /// Offset of the record.
    pub(super) at: u64,
    /// Length of the body.
    pub(super) octets: u64,
}

pub(super) fn path(folder: &Path, pack: u32) -> PathBuf {
    folder.join(format!("pack-{pack:08}"))
}

/// Parses the number in the name of a pack file; `None` for other names.
pub(super) fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.strip_prefix("pack-")?.parse().ok()
}

/// Returns the octets of a record before its body.
fn prefix_octets(octets: u64) -> u64 {
    HEAD_OCTETS + octets.div_ceil(CHUNK_OCTETS) * CHECKSUM_OCTETS as u64
}

/// Returns the octets of the whole record of a body.
pub(super) fn record_octets(octets: u64) -> u64 {
    prefix_octets(octets).saturating_add(octets)
}

fn checksum(chunk: &[u8]) -> [u8; CHECKSUM_OCTETS] {
    let mut sum = [0; CHECKSUM_OCTETS];
    sum.iter_mut().zip(blake3::hash(chunk).as_bytes()).for_each(|(to, from)| *to = *from);
    sum
}

/// Returns the part of a body's record before the body.
fn prefix(body: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(prefix_octets(body.len() as u64) as usize);
    prefix.extend_from_slice(&MAGIC);
    prefix.extend_from_slice(&(body.len() as u64).to_le_bytes());
    body.chunks(CHUNK_OCTETS as usize).for_each(|chunk| prefix.extend_from_slice(&checksum(chunk)));
    prefix
}

/// The numbers of a folder's packs. A process assigns each number to one new pack, and the number is open while a
/// writer may append to the pack.
pub(super) struct PackNumbers {
    state: Mutex<NumbersState>,
}

/// Maximum number of writers of one folder: the committer and the upkeep.
const WRITERS: usize = 2;

struct NumbersState {
    /// The highest number of a pack that exists or is known.
    last: u32,
    open: Vec<u32>,
    /// Packs of an earlier start that a writer may continue, in ascending order.
    resumable: Vec<u32>,
}

impl PackNumbers {
    /// Reads the numbers of a folder's packs. Writers may continue the last [`WRITERS`] of the packs in `known`, or of
    /// all packs when `known` is `None`. A pack outside `known` may be from another database, and is left alone.
    pub(super) fn of(folder: &Path, known: Option<&[u32]>) -> io::Result<Self> {
        let mut resumable = numbers(folder)?;
        resumable.sort_unstable();
        let last = resumable.last().copied().unwrap_or(0).max(known.into_iter().flatten().copied().max().unwrap_or(0));
        resumable.retain(|number| known.is_none_or(|known| known.contains(number)));
        resumable.drain(..resumable.len().saturating_sub(WRITERS));
        Ok(Self { state: Mutex::new(NumbersState { last, open: Vec::new(), resumable }) })
    }

    /// Whether a pack may still be appended to.
    pub(super) fn is_open(&self, number: u32) -> bool {
        self.state().open.contains(&number)
    }

    fn next_number(&self) -> u32 {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.open.push(number);
        number
    }

    /// Takes the newest pack of an earlier start that no writer has continued yet; `None` when there is none.
    fn reopen(&self) -> Option<u32> {
        let mut state = self.state();
        let number = state.resumable.pop()?;
        state.open.push(number);
        Some(number)
    }

    fn close(&self, number: u32) {
        self.state().open.retain(|open| *open != number);
    }

    fn state(&self) -> MutexGuard<'_, NumbersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the numbers of the pack files in a folder.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        numbers.extend(number(&entry?.file_name()));
    }
    Ok(numbers)
}

struct OpenPack {
    number: u32,
    file: File,
    /// Offset at which the next group is written.
    end: u64,
}

/// A writer of packs: the committer has one, and the upkeep another. [`Self::place`] assigns a place to each body, and
/// [`Self::flush`] writes and syncs all of them.
pub(super) struct PackWriter {
    folder: PathBuf,
    numbers: Arc<PackNumbers>,
    octets_max: u64,
    open: Option<OpenPack>,
    /// Whether the open pack is closed before the next group.
    full: bool,
    placed: Vec<(PackPosition, Bytes)>,
    /// Offset of the next place in the open pack.
    end: u64,
}

impl PackWriter {
    /// Makes a writer that begins a new pack when the open one has reached `octets_max`.
    pub(super) fn new(folder: &Path, numbers: &Arc<PackNumbers>, octets_max: u64) -> Self {
        let (folder, numbers, placed) = (folder.to_owned(), Arc::clone(numbers), Vec::new());
        Self { folder, numbers, octets_max, open: None, full: false, placed, end: 0 }
    }

    /// Continues a pack of an earlier start, if there is one, so that not every start creates a small one.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        if let Some(number) = self.numbers.reopen() {
            let file = File::options().write(true).open(path(&self.folder, number))?;
            let end = file.metadata()?.len();
            self.open = Some(OpenPack { number, file, end });
        }
        Ok(())
    }

    /// Prepares for a group that appends bodies: opens a pack with room.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.full || self.open.as_ref().is_some_and(|pack| pack.end >= self.octets_max) {
            self.close();
        }
        if self.open.is_none() {
            // The number is used up even when the folder cannot be synced: the file may or may not exist, and is not
            // reused.
            let number = self.numbers.next_number();
            let made = File::create_new(path(&self.folder, number)).and_then(|file| {
                sync_folder(&self.folder)?;
                Ok(file)
            });
            match made {
                Ok(file) => self.open = Some(OpenPack { number, file, end: 0 }),
                Err(error) => {
                    self.numbers.close(number);
                    return Err(error);
                }
            }
        }
        self.drop_unwritten();
        Ok(())
    }

    /// Returns the number of the open pack.
    pub(super) fn number(&self) -> Option<u32> {
        self.open.as_ref().map(|pack| pack.number)
    }

    /// Makes the next group use another pack.
    pub(super) fn set_full(&mut self) {
        self.full = true;
    }

    /// Prepares for a group that appends nothing: closes a pack that [`Self::set_full`] has marked.
    pub(super) fn close_if_full(&mut self) {
        if self.full {
            self.close();
        }
    }

    /// Closes the open pack. Only between groups.
    pub(super) fn close(&mut self) {
        self.full = false;
        if let Some(pack) = self.open.take() {
            self.numbers.close(pack.number);
        }
    }

    /// Assigns a place to a body. Nothing is written yet.
    pub(super) fn place(&mut self, body: &Bytes) -> io::Result<PackPosition> {
        let pack = self.open.as_ref().ok_or_else(|| io::Error::other("no pack is open"))?.number;
        let octets = body.len() as u64;
        let place = PackPosition { pack, at: self.end, octets };
        self.end += record_octets(octets);
        self.placed.push((place, body.clone()));
        Ok(place)
    }

    /// Returns the number of bodies that have a place, for [`Self::take_back`].
    pub(super) fn mark(&self) -> usize {
        self.placed.len()
    }

    /// Drops the bodies that got a place after the mark, because their batch or change has failed.
    pub(super) fn take_back(&mut self, mark: usize) {
        if let Some((first, _)) = self.placed.get(mark) {
            self.end = first.at;
            self.placed.truncate(mark);
        }
    }

    /// Drops all bodies that are not written.
    pub(super) fn drop_unwritten(&mut self) {
        self.placed.clear();
        self.end = self.open.as_ref().map_or(0, |pack| pack.end);
    }

    /// Writes and syncs the bodies.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.placed.is_empty() {
            return Ok(());
        }
        let pack = self.open.as_mut().ok_or_else(|| io::Error::other("no pack is open"))?;
        let written = write_bodies(&pack.file, pack.end, &self.placed);
        // A write that finds the disk full loses nothing: the same place is written again.
        let is_full = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        if let Err(error) = written.and_then(|()| pack.file.sync_data()) {
            // After a failed sync, also for want of space (a thin volume), the kernel may consider the lost pages
            // clean, so a second sync could falsely succeed.
            if !is_full {
                tracing::error!(%error, pack = pack.number, "a write to a pack failed: new bodies go to another pack");
                self.close();
            }
            return Err(error);
        }
        pack.end = self.end;
        self.drop_unwritten();
        Ok(())
    }
}

/// Writes bodies directly from their buffers, many per system call.
fn write_bodies(mut file: &File, at: u64, placed: &[(PackPosition, Bytes)]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    for some in placed.chunks(WRITE_BODIES) {
        let prefixes: Vec<Vec<u8>> = some.iter().map(|(_, body)| prefix(body)).collect();
        let parts =
            prefixes.iter().zip(some).flat_map(|(prefix, (_, body))| [IoSlice::new(prefix), IoSlice::new(body)]);
        write_slices(file, &mut parts.collect::<Vec<_>>())?;
    }
    Ok(())
}

fn write_slices(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(octets) => IoSlice::advance_slices(&mut slices, octets),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where the octets of a body are.
#[derive(Debug)]
pub(super) enum BodyLocation {
    /// In the database; these are the octets.
    Inline(Bytes),
    /// In a pack, at this place.
    Pack(PackPosition),
}

/// The open packs of a shard, shared by all its readers.
pub(super) struct PackReader {
    folder: PathBuf,
    files: Mutex<HashMap<u32, Arc<File>>>,
}

impl PackReader {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: Mutex::default() }
    }

    /// Reads and checks a body or a part of it; `None` when the pack does not exist, because the body may have been
    /// moved.
    pub(super) fn read_if_there(
        &self,
        place: PackPosition,
        range: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(file) = self.file(place.pack)? else { return Ok(None) };
        read(&file, place, range).map(Some)
    }

    /// Reads and checks a body or a part of it.
    pub(super) fn read(&self, place: PackPosition, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.read_if_there(place, range)?.ok_or_else(|| damaged(format!("pack {} is missing", place.pack)))
    }

    /// Returns the octets of a located body; `None` as in [`Self::read_if_there`].
    pub(super) fn fetch(&self, located: BodyLocation, range: Option<Range<u64>>) -> Result<Option<Bytes>, StoreError> {
        match located {
            BodyLocation::Pack(place) => self.read_if_there(place, range),
            BodyLocation::Inline(body) => {
                let range = clip(range, body.len() as u64);
                Ok(Some(body.slice(range.start as usize..range.end as usize)))
            }
        }
    }

    /// Closes a removed pack: its space is free once all readers have closed it.
    pub(super) fn close(&self, pack: u32) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&pack);
    }

    /// Opens a pack; `None` when it does not exist. Holds the lock meanwhile, so that [`Self::close`] knows every file
    /// that was opened before a removal.
    fn file(&self, pack: u32) -> Result<Option<Arc<File>>, StoreError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&pack) {
            return Ok(Some(Arc::clone(file)));
        }
        let file = match File::open(path(&self.folder, pack)) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        if files.len() >= FILES_OPEN_MAX {
            files.clear();
        }
        files.insert(pack, Arc::clone(&file));
        Ok(Some(file))
    }
}

fn read(file: &File, place: PackPosition, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
    let size = file.metadata().map_err(unavailable)?.len();
    let prefix_octets = prefix_octets(place.octets);
    let end = place.at.checked_add(prefix_octets).and_then(|start| start.checked_add(place.octets));
    // Checked before the allocation: a damaged row must not reserve all memory.
    if place.octets > size || end.is_none_or(|end| end > size) {
        return Err(damaged(format!("{place:?} is beyond the pack's end")));
    }
    let range = clip(range, place.octets);
    let first = range.start / CHUNK_OCTETS;
    let chunks = first * CHUNK_OCTETS..(range.end.div_ceil(CHUNK_OCTETS) * CHUNK_OCTETS).min(place.octets);
    let (prefix, body) = read_parts(file, place, prefix_octets, chunks.clone())?;
    check_record(&prefix, &body, place, first)?;
    let start = range.start.saturating_sub(chunks.start) as usize;
    let length = range.end.saturating_sub(range.start) as usize;
    Ok(body.slice(start.min(body.len())..(start + length).min(body.len())))
}

/// Reads the prefix of a record and the requested chunks of its body, in one read when they are adjacent.
fn read_parts(
    file: &File,
    place: PackPosition,
    prefix_octets: u64,
    chunks: Range<u64>,
) -> Result<(Bytes, Bytes), StoreError> {
    let read = |at: u64, octets: u64| {
        let mut buffer = vec![0; usize::try_from(octets).map_err(unavailable)?];
        file.read_exact_at(&mut buffer, at).map_err(unavailable)?;
        Ok::<_, StoreError>(Bytes::from(buffer))
    };
    if chunks.start == 0 {
        let mut prefix = read(place.at, prefix_octets + chunks.end)?;
        let body = prefix.split_off(prefix_octets as usize);
        return Ok((prefix, body));
    }
    let prefix = read(place.at, prefix_octets)?;
    let body = read(place.at + prefix_octets + chunks.start, chunks.end.saturating_sub(chunks.start))?;
    Ok((prefix, body))
}

/// Checks the prefix of a record, and the chunks of its body from `first_chunk` on.
fn check_record(prefix: &[u8], chunks: &[u8], place: PackPosition, first_chunk: u64) -> Result<(), StoreError> {
    let (head, checksums) = prefix.split_at_checked(HEAD_OCTETS as usize).unwrap_or((prefix, &[]));
    let expected_head = [&MAGIC[..], &place.octets.to_le_bytes()].concat();
    let mut stored = checksums.chunks(CHECKSUM_OCTETS).skip(first_chunk as usize);
    let all_match = chunks.chunks(CHUNK_OCTETS as usize).all(|chunk| stored.next() == Some(&checksum(chunk)));
    match head == expected_head && all_match {
        true => Ok(()),
        false => Err(damaged(format!("wrong head or checksum at {place:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(octets: usize, seed: u8) -> Bytes {
        (0..octets).map(|at| (at / 7) as u8 ^ seed).collect::<Vec<u8>>().into()
    }

    fn open_writer(folder: &Path) -> PackWriter {
        let mut writer = PackWriter::new(folder, &Arc::new(PackNumbers::of(folder, None).unwrap()), PACK_OCTETS_MAX);
        writer.resume().unwrap();
        writer
    }

    fn write(writer: &mut PackWriter, bodies: &[Bytes]) -> Vec<PackPosition> {
        writer.begin().unwrap();
        let places = bodies.iter().map(|body| writer.place(body).unwrap()).collect();
        writer.flush().unwrap();
        places
    }

    #[test]
    fn bodies_and_their_parts_are_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open_writer(folder.path());
        let sizes = [0, 1, 10_000, 65_535, 65_536, 65_537, 300_000, 900_000, 1_200_000, 20];
        let bodies: Vec<Bytes> = sizes.iter().map(|&size| body(size, size as u8)).collect();
        let places = write(&mut writer, &bodies);
        let mut writer = open_writer(folder.path());
        let later = body(5_000, 9);
        let later_place = write(&mut writer, std::slice::from_ref(&later));
        let reader = PackReader::new(folder.path());
        for (place, body) in places.iter().zip(&bodies).chain([(&later_place[0], &later)]) {
            assert_eq!(reader.read(*place, None).unwrap(), body);
            for (start, end) in [
                (0, 0),
                (0, 1),
                (3, 9_000),
                (65_530, 65_540),
                (65_536, 131_072),
                (70_000, 1 << 40),
                (850_000, 1_190_000),
            ] {
                let expected = clip(Some(start..end), place.octets);
                let part = reader.read(*place, Some(start..end)).unwrap();
                assert_eq!(part, body.slice(expected.start as usize..expected.end as usize), "{place:?} {start} {end}");
            }
        }
    }

    #[test]
    fn a_refused_body_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open_writer(folder.path());
        writer.begin().unwrap();
        let (one, two) = (body(1_000, 1), body(2_000, 2));
        let place = writer.place(&one).unwrap();
        let mark = writer.mark();
        writer.place(&two).unwrap();
        writer.take_back(mark);
        let next = writer.place(&two).unwrap();
        assert_eq!(next.at, prefix_octets(1_000) + 1_000);
        writer.flush().unwrap();
        let reader = PackReader::new(folder.path());
        assert_eq!(reader.read(place, None).unwrap(), one);
        assert_eq!(reader.read(next, None).unwrap(), two);
        let size = std::fs::metadata(path(folder.path(), 1)).unwrap().len();
        assert_eq!(size, 2 * prefix_octets(1) + 3_000);
    }

    #[test]
    fn damage_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open_writer(folder.path());
        let bodies = [body(200_000, 1)];
        let place = write(&mut writer, &bodies)[0];
        let file = File::options().write(true).open(path(folder.path(), 1)).unwrap();
        let reader = PackReader::new(folder.path());
        let flipped = prefix_octets(place.octets) + 100_000;
        file.write_all_at(&[0xff], flipped).unwrap();
        assert!(matches!(reader.read(place, None), Err(StoreError::Damaged(_))));
        assert!(matches!(reader.read(place, Some(90_000..90_001)), Err(StoreError::Damaged(_))));
        assert_eq!(
            reader.read(place, Some(0..10)).unwrap(),
            bodies[0].slice(0..10),
            "refused because of damage in another chunk"
        );
        let table = [
            PackPosition { at: 1, ..place },
            PackPosition { octets: 199_999, ..place },
            PackPosition { octets: u64::MAX, ..place },
            PackPosition { at: u64::MAX, ..place },
            PackPosition { pack: 7, ..place },
        ];
        for wrong in table {
            assert!(matches!(reader.read(wrong, None), Err(StoreError::Damaged(_))), "{wrong:?}");
        }
        file.set_len(150_000).unwrap();
        assert!(matches!(reader.read(place, None), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_torn_record_at_the_end_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let bodies = [body(1_000, 1), body(1_000, 2)];
        let first = write(&mut open_writer(folder.path()), &bodies[..1])[0];
        let file = File::options().append(true).open(path(folder.path(), 1)).unwrap();
        io::Write::write_all(&mut &file, b"PVb1 half a record").unwrap();
        let second = write(&mut open_writer(folder.path()), &bodies[1..])[0];
        let reader = PackReader::new(folder.path());
        assert_eq!(reader.read(first, None).unwrap(), bodies[0]);
        assert_eq!(reader.read(second, None).unwrap(), bodies[1]);
    }

    #[test]
    fn two_writers_never_share_a_pack() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Arc::new(PackNumbers::of(folder.path(), None).unwrap());
        let new = || PackWriter::new(folder.path(), &numbers, 1_500);
        let (mut one, mut other) = (new(), new());
        one.resume().unwrap();
        let bodies: Vec<Bytes> = (0..6).map(|seed| body(1_000, seed)).collect();
        let mut places = Vec::new();
        for pair in bodies.chunks(2) {
            places.extend(write(&mut one, &pair[..1]));
            places.extend(write(&mut other, &pair[1..]));
        }
        let packs: Vec<u32> = places.iter().map(|place| place.pack).collect();
        assert_eq!(packs, [1, 2, 1, 2, 3, 4], "each writer opens a new pack when its own is full");
        assert!(!numbers.is_open(1) && !numbers.is_open(2) && numbers.is_open(3));
        one.set_full();
        assert_eq!(write(&mut one, &bodies[..1])[0].pack, 5);
        let reader = PackReader::new(folder.path());
        for (place, body) in places.iter().zip(&bodies) {
            assert_eq!(reader.read(*place, None).unwrap(), body);
        }
        std::fs::remove_file(path(folder.path(), 2)).unwrap();
        reader.close(2);
        assert_eq!(reader.read_if_there(places[1], None), Ok(None));
        assert!(matches!(reader.read(places[1], None), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_pack_whose_sync_failed_is_never_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open_writer(folder.path());
        let bodies = [body(1_000, 1), body(1_000, 2)];
        let before = write(&mut writer, &bodies[..1])[0];
        // This file accepts every write and cannot be synced.
        let file = File::options().write(true).open("/dev/null").unwrap();
        writer.open = writer.open.map(|pack| OpenPack { file, ..pack });
        writer.begin().unwrap();
        writer.place(&bodies[1]).unwrap();
        assert!(writer.flush().is_err());
        let after = write(&mut writer, &bodies[1..])[0];
        assert_eq!((before.pack, after.pack), (1, 2));
        let reader = PackReader::new(folder.path());
        assert_eq!(reader.read(before, None).unwrap(), bodies[0]);
        assert_eq!(reader.read(after, None).unwrap(), bodies[1]);
    }
}
