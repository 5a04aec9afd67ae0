//! Thirty sessions fetch one message of 40 MiB and read slowly: the node does not hold the whole message for each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};
use provost_tests::{Node, Options, Port, SamplePerson, TextClient};

const SESSIONS: usize = 30;
const MESSAGE_OCTETS: usize = 40 * 1024 * 1024;
/// Limit for the growth of the node's resident memory.
const GROWTH_MIB_MAX: u64 = 200;
/// Octets that each session reads between two measurements of the node's memory.
const SIP_OCTETS: usize = 8 * 1024;
/// Number of measurements.
const SIPS: usize = 40;

#[test]
fn slow_readers_of_a_large_message_cost_little_memory() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    append_large(&node).unwrap();
    for command in ["FETCH * (BODY.PEEK[])", "FETCH * (BODY.PEEK[TEXT])", "FETCH * (UID RFC822.SIZE BODY.PEEK[2])"] {
        let before = resident_mib(node.pid()).unwrap();
        let peak = peak_mib(&node, command).context(command).unwrap();
        assert!(peak.saturating_sub(before) < GROWTH_MIB_MAX, "{command}: {before} to {peak} MiB");
    }
}

fn logged_in(node: &Node) -> anyhow::Result<TcpStream> {
    let person = SamplePerson::of(1);
    let mut socket = TcpStream::connect(node.address(Port::Imap))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(socket, "a LOGIN {} \"{}\"\r\n", person.mail(), person.password())?;
    until(&mut socket, b"a OK")?;
    Ok(socket)
}

/// Reads octet by octet up to the end of the line that contains `wanted`, and nothing after it.
fn until(socket: &mut TcpStream, wanted: &[u8]) -> anyhow::Result<()> {
    let (mut input, mut octet) = (Vec::new(), [0]);
    while !(input.ends_with(b"\r\n") && input.windows(wanted.len()).any(|window| window == wanted)) {
        let read = socket.read(&mut octet).with_context(|| String::from_utf8_lossy(&input).into_owned())?;
        ensure!(read == 1, "closed after {}", String::from_utf8_lossy(&input));
        input.push(octet[0]);
    }
    Ok(())
}

fn append_large(node: &Node) -> anyhow::Result<()> {
    let person = SamplePerson::of(1);
    let mut client = TextClient::open(node.address(Port::Imap))?;
    client.until(&["* OK"])?;
    client.ask(&format!("a LOGIN {} \"{}\"", person.mail(), person.password()), &["a OK"])?;
    let head = "Subject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                --b\r\n\r\ntext\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n";
    let filler = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwx\r\n";
    let mut message = head.to_owned();
    message.push_str(&filler.repeat(MESSAGE_OCTETS / filler.len()));
    message.push_str("--b--\r\n");
    client.send_line(&format!("b APPEND INBOX {{{}}}", message.len()))?;
    client.until(&["+"])?;
    client.send(message.as_bytes())?;
    client.ask("", &["b OK"]).context("APPEND")?;
    Ok(())
}

/// The largest resident memory of the node while all sessions read slowly, MiB.
fn peak_mib(node: &Node, command: &str) -> anyhow::Result<u64> {
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let mut socket = logged_in(node)?;
        socket.write_all(b"b EXAMINE INBOX\r\n")?;
        until(&mut socket, b"b OK")?;
        write!(socket, "c {command}\r\n")?;
        sessions.push(socket);
    }
    let (mut peak, mut sip) = (0, vec![0; SIP_OCTETS]);
    for _ in 0..SIPS {
        for socket in &mut sessions {
            socket.read_exact(&mut sip).context("a slow reader")?;
        }
        peak = peak.max(resident_mib(node.pid())?);
    }
    Ok(peak)
}

fn resident_mib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}
