//! The content of the disk after a power cut: synced data, and a part of the data that was not synced.
//!
//! The octets of a file are on disk after a sync of the file, and names after a sync of their folder. Before a sync,
//! each sector of a write may be on disk or not, in any order. These are the rules of POSIX. The model adds one promise
//! that journalling file systems make: unsynced changes of names in one folder reach the disk in their order, so after
//! the cut the first n of them are there, for any n.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

use rand::Rng;
use rand::rngs::StdRng;

use crate::record::{CallRecord, FileCall};

/// Octets that a disk writes as a unit.
const SECTOR: usize = 512;

/// The effect of the crash on data that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// No loss: the process was killed, the machine went on.
    Nothing,
    /// All data that was not synced is lost.
    All,
    /// The calls before a random unsynced call are kept. That call is kept too, but a write only in part.
    Torn,
    /// Each sector may be kept or lost.
    Scattered,
    /// Files have their new lengths, with zeros in place of the octets that were added.
    Zeroed,
}

impl Loss {
    /// All kinds of loss.
    pub const ALL: [Self; 5] = [Self::Nothing, Self::All, Self::Torn, Self::Scattered, Self::Zeroed];
}

/// The effect of a failed sync on the data that it should have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedSync {
    /// The data stays unwritten in memory: the next sync writes it or fails.
    Retried,
    /// The kernel counts the data as written, so it is lost unless it is written again (as on Linux).
    Forgotten,
}

/// Files (with their octets) and folders (`None`), by path.
pub type Image = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileNode {
    File(usize),
    Folder,
}

type FileNames = BTreeMap<String, FileNode>;

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, FileNode),
    Remove(String),
    Move(String, String),
}

impl NameChange {
    fn folder(&self) -> &str {
        let (Self::Add(path, _) | Self::Remove(path) | Self::Move(_, path)) = self;
        parent(path)
    }

    fn apply(&self, names: &mut FileNames) {
        match self {
            Self::Add(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Move(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<String> =
                    names.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
                for path in moved {
                    let node = names.remove(&path).unwrap();
                    names.insert(format!("{to}{}", &path[from.len()..]), node);
                }
            }
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[derive(Clone, Debug)]
enum DiskChange {
    Write(u64, Rc<[u8]>),
    Truncate(u64),
}

impl DiskChange {
    fn apply(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => write_at(octets, *at as usize, data),
            Self::Truncate(length) => octets.resize(*length as usize, 0),
        }
    }
}

fn write_at(octets: &mut Vec<u8>, at: usize, data: &[u8]) {
    if octets.len() < at + data.len() {
        octets.resize(at + data.len(), 0);
    }
    octets[at..at + data.len()].copy_from_slice(data);
}

#[derive(Clone, Debug, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Changes that are not synced, each with the number of its call.
    pending: Vec<(usize, DiskChange)>,
}

/// A disk, and the changes that are not synced to it.
pub struct Disk {
    failed_sync: FailedSync,
    live: FileNames,
    durable: FileNames,
    pending: Vec<(usize, NameChange)>,
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
}

impl Disk {
    /// A disk with an empty folder.
    pub fn new(failed_sync: FailedSync) -> Self {
        let (live, durable, pending) = (FileNames::new(), FileNames::new(), Vec::new());
        Self { failed_sync, live, durable, pending, files: Vec::new(), by_inode: HashMap::new() }
    }

    /// Applies the call with this number.
    pub fn apply(&mut self, number: usize, record: &CallRecord) {
        match &record.call {
            FileCall::Create(path) => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.by_inode.insert(record.inode, file);
                self.change_names(number, NameChange::Add(path.clone(), FileNode::File(file)));
            }
            FileCall::Write(at, data) => {
                self.change_file(number, record.inode, DiskChange::Write(*at, Rc::clone(data)))
            }
            FileCall::Truncate(length) => self.change_file(number, record.inode, DiskChange::Truncate(*length)),
            FileCall::Sync => {
                let file = self.file(record.inode);
                let pending = std::mem::take(&mut file.pending);
                pending.iter().for_each(|(_, change)| change.apply(&mut file.durable));
            }
            FileCall::FailedSync if self.failed_sync == FailedSync::Forgotten => {
                self.file(record.inode).pending.clear()
            }
            FileCall::SyncFolder(path) => {
                let (synced, unsynced) =
                    std::mem::take(&mut self.pending).into_iter().partition(|(_, change)| change.folder() == path);
                self.pending = unsynced;
                let synced: Vec<(usize, NameChange)> = synced;
                synced.iter().for_each(|(_, change)| change.apply(&mut self.durable));
            }
            FileCall::Rename(from, to) => self.change_names(number, NameChange::Move(from.clone(), to.clone())),
            FileCall::Link(from, to) => {
                let node = self.live[from];
                self.change_names(number, NameChange::Add(to.clone(), node));
            }
            FileCall::Unlink(path) | FileCall::RemoveFolder(path) => {
                self.change_names(number, NameChange::Remove(path.clone()))
            }
            FileCall::MakeFolder(path) => self.change_names(number, NameChange::Add(path.clone(), FileNode::Folder)),
            FileCall::FailedSync | FileCall::Killed => (),
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let file = *self.by_inode.get(&inode).unwrap_or_else(|| panic!("an unknown inode: {inode}"));
        &mut self.files[file]
    }

    fn change_file(&mut self, number: usize, inode: u64, change: DiskChange) {
        let file = self.file(inode);
        change.apply(&mut file.live);
        file.pending.push((number, change));
    }

    fn change_names(&mut self, number: usize, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push((number, change));
    }

    /// The content as the process sees it.
    pub fn live(&self) -> Image {
        self.image(&self.live, |file| file.live.clone())
    }

    /// The content after a crash now.
    pub fn after_crash(&self, loss: Loss, rng: &mut StdRng) -> Image {
        match loss {
            Loss::Nothing => self.live(),
            Loss::All => self.image(&self.durable, |file| file.durable.clone()),
            Loss::Zeroed => self.image(&self.some_names(rng), |file| {
                let mut octets = file.durable.clone();
                octets.resize(file.live.len(), 0);
                octets
            }),
            Loss::Torn => self.torn(rng),
            Loss::Scattered => {
                let (names, share) = (self.some_names(rng), [0.1, 0.5, 0.9][rng.random_range(0..3)]);
                let mut scattered = |file: &File| {
                    let mut octets = file.durable.clone();
                    file.pending.iter().for_each(|(_, change)| scatter(&mut octets, change, share, rng));
                    octets
                };
                self.image(&names, &mut scattered)
            }
        }
    }

    /// Keeps all calls up to a random unsynced call; when that call is a write, keeps only its first sectors.
    fn torn(&self, rng: &mut StdRng) -> Image {
        let mut numbers: Vec<usize> = self.pending.iter().map(|(number, _)| *number).collect();
        numbers.extend(self.files.iter().flat_map(|file| file.pending.iter().map(|(number, _)| *number)));
        numbers.sort_unstable();
        let last = if numbers.is_empty() { 0 } else { numbers[rng.random_range(0..numbers.len())] };
        let mut names = self.durable.clone();
        self.pending.iter().filter(|(number, _)| *number <= last).for_each(|(_, change)| change.apply(&mut names));
        let sectors = rng.random_range(0..12);
        self.image(&names, |file| {
            let mut octets = file.durable.clone();
            for (number, change) in &file.pending {
                match change {
                    DiskChange::Write(at, data) if *number == last => {
                        // Sectors are aligned to the disk, not to the start of a write.
                        let end = (SECTOR - *at as usize % SECTOR) + sectors * SECTOR;
                        write_at(&mut octets, *at as usize, &data[..data.len().min(end)]);
                    }
                    change if *number <= last => change.apply(&mut octets),
                    _ => (),
                }
            }
            octets
        })
    }

    /// The durable names, with the first n unsynced changes of each folder made; n is random for each folder.
    fn some_names(&self, rng: &mut StdRng) -> FileNames {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.pending.iter().for_each(|(_, change)| *counts.entry(change.folder()).or_default() += 1);
        counts.values_mut().for_each(|count| *count = rng.random_range(0..=*count));
        let mut names = self.durable.clone();
        for (_, change) in &self.pending {
            let count = counts.get_mut(change.folder()).unwrap();
            if *count > 0 {
                *count -= 1;
                change.apply(&mut names);
            }
        }
        names
    }

    fn image(&self, names: &FileNames, mut octets: impl FnMut(&File) -> Vec<u8>) -> Image {
        let mut contents: HashMap<usize, Vec<u8>> = HashMap::new();
        let is_there = |path: &str| {
            let mut folder = parent(path);
            while !folder.is_empty() {
                if names.get(folder) != Some(&FileNode::Folder) {
                    return false;
                }
                folder = parent(folder);
            }
            true
        };
        let mut image = Image::new();
        for (path, node) in names.iter().filter(|(path, _)| is_there(path)) {
            let content = match node {
                FileNode::Folder => None,
                FileNode::File(file) => {
                    Some(contents.entry(*file).or_insert_with(|| octets(&self.files[*file])).clone())
                }
            };
            image.insert(path.clone(), content);
        }
        image
    }
}

fn scatter(octets: &mut Vec<u8>, change: &DiskChange, share: f64, rng: &mut StdRng) {
    let DiskChange::Write(at, data) = change else {
        if rng.random_bool(share) {
            change.apply(octets);
        }
        return;
    };
    let mut from = 0;
    while from < data.len() {
        let to = (from + SECTOR - (*at as usize + from) % SECTOR).min(data.len());
        if rng.random_bool(share) {
            write_at(octets, *at as usize + from, &data[from..to]);
        }
        from = to;
    }
}

/// Writes an image into an empty folder.
pub fn write(image: &Image, folder: &Path) -> std::io::Result<()> {
    for (path, content) in image {
        let path = folder.join(path.trim_start_matches('/'));
        match content {
            None => std::fs::create_dir(path)?,
            Some(octets) => std::fs::write(path, octets)?,
        }
    }
    Ok(())
}

/// A digest of an image, so that equal states are checked only once.
pub fn digest(image: &Image) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in image {
        hasher.update(path.as_bytes()).update(&[0, u8::from(content.is_some())]);
        if let Some(octets) = content {
            hasher.update(&(octets.len() as u64).to_le_bytes()).update(octets);
        }
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn disk(calls: &[(u64, FileCall)]) -> Disk {
        let mut disk = Disk::new(FailedSync::Forgotten);
        for (number, (inode, call)) in calls.iter().enumerate() {
            disk.apply(number, &CallRecord { call: call.clone(), inode: *inode });
        }
        disk
    }

    fn write(at: u64, text: &str) -> FileCall {
        FileCall::Write(at, text.as_bytes().into())
    }

    #[test]
    fn only_synced_data_is_kept_for_certain() {
        let (create, name) = (FileCall::Create("/a".into()), || FileCall::SyncFolder(String::new()));
        let file = |text: &str| Image::from([("/a".to_owned(), Some(text.as_bytes().to_vec()))]);
        for (calls, left) in [
            (vec![(1, create.clone()), (1, write(0, "x")), (1, FileCall::Sync)], Image::new()),
            (vec![(1, create.clone()), (1, write(0, "x")), (0, name())], file("")),
            (
                vec![(1, create.clone()), (0, name()), (1, write(0, "x")), (1, FileCall::Sync), (1, write(1, "y"))],
                file("x"),
            ),
            // The next sync does not write the data that a failed sync has dropped.
            (
                vec![
                    (1, create.clone()),
                    (0, name()),
                    (1, write(0, "x")),
                    (1, FileCall::FailedSync),
                    (1, FileCall::Sync),
                ],
                file(""),
            ),
            (
                vec![(1, create), (0, name()), (1, FileCall::Sync), (0, FileCall::Rename("/a".into(), "/b".into()))],
                file(""),
            ),
        ] {
            let disk = disk(&calls);
            assert_eq!(disk.after_crash(Loss::All, &mut StdRng::seed_from_u64(1)), left, "{calls:?}");
        }
    }

    #[test]
    fn a_crash_leaves_whole_sectors() {
        let data = "x".repeat(3 * SECTOR);
        let calls =
            [(1, FileCall::Create("/a".into())), (0, FileCall::SyncFolder(String::new())), (1, write(100, &data))];
        let disk = disk(&calls);
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..200 {
            for loss in [Loss::Torn, Loss::Scattered] {
                let image = disk.after_crash(loss, &mut StdRng::seed_from_u64(seed));
                let octets = image["/a"].clone().unwrap();
                let kept = octets.iter().filter(|octet| **octet == b'x').count();
                assert!(kept == data.len() || [0, SECTOR - 100, 100].contains(&(kept % SECTOR)), "{kept}");
                lengths.insert(kept);
            }
        }
        assert!(lengths.len() > 4, "{lengths:?}");
    }
}
