//! Each protocol command as a conversation (`tests/conversations/<listener>/*.txt`), played with the running program.

use std::path::PathBuf;

use provost_tests::conversation::play;
use provost_tests::{Node, Port};

const LISTENERS: [(&str, Port); 5] = [
    ("mx", Port::Mx),
    ("submission", Port::Submission),
    ("lmtp", Port::Lmtp),
    ("imap", Port::Imap),
    ("pop3", Port::Pop3),
];

/// One node for all files; each file has a person of its own, so that the files do not affect each other.
#[test]
fn every_conversation_goes_as_written() {
    let node = Node::start().unwrap();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let started: Vec<_> =
            LISTENERS.iter().map(|(folder, port)| scope.spawn(|| play_all(&node, folder, *port))).collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

fn play_all(node: &Node, folder: &str, port: Port) -> anyhow::Result<Vec<String>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conversations").join(folder);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        files.push(entry?.path());
    }
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no conversation in {}", folder.display());
    Ok(files.iter().filter_map(|file| play(node, port, file).err()).map(|e| format!("{e:#}")).collect())
}
