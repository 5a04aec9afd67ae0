//! The record of a run: each call that changed the disk, in order.

use std::rc::Rc;

/// One call, as `record` in `shim.c` writes it.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The operation.
    pub call: FileCall,
    /// The inode number of the file or folder, for calls on an open one and for `Create`; 0 for all others.
    pub inode: u64,
}

/// The operation of a call. Paths begin with `/`, which stands for the watched folder.
#[derive(Clone, Debug)]
pub enum FileCall {
    /// Creates an empty file.
    Create(String),
    /// Writes octets at an offset.
    Write(u64, Rc<[u8]>),
    /// Sets the length of the file.
    Truncate(u64),
    /// Syncs the octets of the file to disk.
    Sync,
    /// A sync that failed. [`crate::disk::FailedSync`] has the possible effects.
    FailedSync,
    /// Syncs the names in a folder to disk.
    SyncFolder(String),
    /// Renames a file or a folder; replaces the target if there is one.
    Rename(String, String),
    /// Adds a name to a file.
    Link(String, String),
    /// Removes a name.
    Unlink(String),
    /// Creates a folder.
    MakeFolder(String),
    /// Removes a folder.
    RemoveFolder(String),
    /// The process ended here.
    Killed,
}

/// Octets of one call's record before the path.
const HEAD_OCTETS: usize = 32;

/// Parses the record of a run. An incomplete call at the end is left out.
pub fn parse(mut octets: &[u8]) -> Vec<CallRecord> {
    let mut records = Vec::new();
    while let Some((head, rest)) = octets.split_at_checked(HEAD_OCTETS) {
        let word = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let path_octets = u32::from_ne_bytes(head[24..28].try_into().unwrap()) as usize;
        let Some((path, rest)) = rest.split_at_checked(path_octets) else { break };
        let Some((data, rest)) = rest.split_at_checked(word(16) as usize) else { break };
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        let call = match head[28] {
            b'C' => FileCall::Create(text(path)),
            b'W' => FileCall::Write(word(8), data.into()),
            b'T' => FileCall::Truncate(word(8)),
            b'S' => FileCall::Sync,
            b'F' => FileCall::FailedSync,
            b'D' => FileCall::SyncFolder(text(path)),
            b'N' => FileCall::Rename(text(path), text(data)),
            b'L' => FileCall::Link(text(path), text(data)),
            b'U' => FileCall::Unlink(text(path)),
            b'M' => FileCall::MakeFolder(text(path)),
            b'R' => FileCall::RemoveFolder(text(path)),
            b'K' => FileCall::Killed,
            other => panic!("record of type {other}"),
        };
        records.push(CallRecord { call, inode: word(0) });
        octets = rest;
    }
    records
}
