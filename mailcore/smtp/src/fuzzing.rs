//! Properties of commands and data over arbitrary octets, for `tests/targets`. A broken property panics, which the
//! fuzzer reports.

use bytes::BytesMut;
use provost_message::Path;
use provost_net::MemoryBudget;

use crate::client::{end_of, stuffed};
use crate::command::{Command, LINE_OCTETS_MAX, LineReader, LineStart};
use crate::data::{DataProgress, DataReader};

/// The message or the name of its fault, and the input that follows the end of data.
pub type FuzzedData = (Result<Vec<u8>, String>, Vec<u8>);

/// Reads message data that arrives in `pieces`; `None` when its end has not arrived.
pub fn data(pieces: &[&[u8]], octets_max: u64) -> Option<FuzzedData> {
    let memory = MemoryBudget::new(u64::MAX / 2).body();
    let (mut reader, mut input) = (DataReader::new(b"", octets_max, None, memory), BytesMut::new());
    let mut done = None;
    for piece in pieces {
        input.extend_from_slice(piece);
        if done.is_none() {
            match reader.read(&mut input) {
                DataProgress::More => assert!(input.len() <= 2, "{} octets are left in the input", input.len()),
                DataProgress::Done(message) => done = Some(message),
            }
        }
    }
    let message = done?.map(|octets| octets.to_vec()).map_err(|fault| format!("{fault:?}"));
    Some((message, input.to_vec()))
}

/// A message in the client's wire form, end of data included.
pub fn wire_form(message: &[u8]) -> Vec<u8> {
    stuffed(message).chain([end_of(message)]).collect::<Vec<_>>().concat()
}

/// Cuts `pieces` into command lines, each in its debug form, and checks that at most a partial line stays in the input.
pub fn lines(pieces: &[&[u8]]) -> Vec<String> {
    let (mut reader, mut input) = (LineReader::default(), BytesMut::new());
    let mut seen = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                LineStart::Part => break,
                LineStart::Http => {
                    // The session ends at an HTTP request: after its first line, or as soon as its start is recognised.
                    seen.push("HTTP".to_owned());
                    return seen;
                }
                line => seen.push(format!("{line:?}")),
            }
        }
        assert!(input.len() < LINE_OCTETS_MAX, "{} octets are left in the input", input.len());
    }
    seen
}

/// Parses a line, if the line reader accepts it, and checks that its path is printed in a form that parses to the same
/// path.
pub fn command(line: &[u8]) {
    let wire = [line, b"\r\n"].concat();
    let LineStart::Whole(line) = LineReader::default().read(&mut BytesMut::from(wire.as_slice())) else { return };
    assert!(line.is_ascii() && !line.contains(['\r', '\n', '\0']), "{line:?} has an octet that no line may have");
    let command = Command::parse(&line);
    assert_eq!(command, Command::parse(&line));
    match command {
        Ok(Command::Hello(_, name)) => assert!(name.bytes().all(|octet| octet.is_ascii_graphic()), "{name:?}"),
        Ok(Command::Mail { reverse_path: Some(path), .. }) => path_comes_back(&path),
        Ok(Command::Rcpt(recipient, _)) => path_comes_back(&recipient.path),
        _ => {}
    }
}

fn path_comes_back(path: &Path) {
    let text = path.to_string();
    assert!(text.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{text:?} cannot stand in a header field");
    assert_eq!(Path::parse(&text).as_ref(), Ok(path), "{text}");
}
