//! The record of a run: each call that changed the disk, in order.

use std::rc::Rc;

/// One call, as `record` in `shim.c` writes it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The operation.
    pub call: Call,
    /// The file's number, for calls on an open file.
    pub inode: u64,
}

/// The operation of a call. Paths begin with `/` and are below the watched folder.
#[derive(Clone, Debug)]
pub enum Call {
    /// Creates an empty file.
    Create(String),
    /// Octets at an offset.
    Write(u64, Rc<[u8]>),
    /// Sets the length of the file.
    Cut(u64),
    /// Syncs the octets of the file to disk.
    Sync,
    /// A sync that failed: the octets may or may not be on disk, and a later sync does not write them.
    FailedSync,
    /// Syncs the names in a folder to disk.
    SyncFolder(String),
    /// Renames a file, and replaces the target.
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

const HEAD: usize = 32;

/// Parses a whole record. An incomplete call at its end is left out.
pub fn parse(mut octets: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((head, rest)) = octets.split_at_checked(HEAD) {
        let word = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let path_octets = u32::from_ne_bytes(head[24..28].try_into().unwrap()) as usize;
        let Some((path, rest)) = rest.split_at_checked(path_octets) else { break };
        let Some((data, rest)) = rest.split_at_checked(word(16) as usize) else { break };
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        let call = match head[28] {
            b'C' => Call::Create(text(path)),
            b'W' => Call::Write(word(8), data.into()),
            b'T' => Call::Cut(word(8)),
            b'S' => Call::Sync,
            b'F' => Call::FailedSync,
            b'D' => Call::SyncFolder(text(path)),
            b'N' => Call::Rename(text(path), text(data)),
            b'L' => Call::Link(text(path), text(data)),
            b'U' => Call::Unlink(text(path)),
            b'M' => Call::MakeFolder(text(path)),
            b'R' => Call::RemoveFolder(text(path)),
            b'K' => Call::Killed,
            other => panic!("record of type {other}"),
        };
        records.push(Record { call, inode: word(0) });
        octets = rest;
    }
    records
}
