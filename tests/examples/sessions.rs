//! A load client for `scripts/bench/sessions` and `scripts/bench/mailbox`. It shares the machine with the server that it
//! measures, and spares the processor: it checks only the status line of each reply and does not parse the data.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use provost_tests::TextClient;

const USAGE: &str =
    "sessions imap|pop3 ADDRESS CONNECTIONS SESSIONS USERS PASSWORD    whole sessions; their rate per second
sessions idle ADDRESS CONNECTIONS USERS PASSWORD     TLS connections in IDLE on INBOX; ends at a line on standard input
sessions time ADDRESS USER PASSWORD ROUNDS COMMAND... one IMAP connection; the median of each command, milliseconds";
/// Accounts are named `1bench`, `2bench`, ... as smtp-source names its recipients.
const LOGIN_SUFFIX: &str = "bench";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [protocol @ ("imap" | "pop3"), address, connections, sessions, users, password] => {
            let load = BenchLoad { address: address.parse()?, users: users.parse()?, password };
            load.measure(protocol, connections.parse()?, sessions.parse()?)
        }
        ["idle", address, connections, users, password] => {
            let load = BenchLoad { address: address.parse()?, users: users.parse()?, password };
            load.idle(connections.parse()?)
        }
        ["time", address, user, password, rounds, commands @ ..] => {
            time(address.parse()?, user, password, rounds.parse()?, commands)
        }
        _ => bail!("{USAGE}"),
    }
}

struct BenchLoad<'a> {
    address: SocketAddr,
    users: u32,
    password: &'a str,
}

impl BenchLoad<'_> {
    fn login(&self, number: u32) -> String {
        format!("{}{LOGIN_SUFFIX}", number % self.users + 1)
    }

    /// Runs whole sessions and prints how many per second.
    fn measure(&self, protocol: &str, connections: u32, sessions: u32) -> anyhow::Result<()> {
        let next = AtomicU32::new(0);
        let begin = Instant::now();
        let work = || -> anyhow::Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= sessions {
                    return Ok(());
                }
                match protocol {
                    "imap" => self.imap(&self.login(number))?,
                    _ => self.pop3(&self.login(number))?,
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
        })?;
        println!("{:.0}", f64::from(sessions) / begin.elapsed().as_secs_f64());
        Ok(())
    }

    /// One IMAP session of nine commands.
    fn imap(&self, login: &str) -> anyhow::Result<()> {
        let mut peer = PlainPeer::open(self.address)?;
        peer.line()?;
        for command in [
            &format!("LOGIN {login} {}", self.password),
            "SELECT INBOX",
            "FETCH 1:10 (UID FLAGS)",
            "FETCH 1 (ENVELOPE BODYSTRUCTURE)",
            "FETCH 1 (BODY.PEEK[])",
            "STORE 1 +FLAGS (\\Seen)",
            "SEARCH UNSEEN",
            "NOOP",
            "LOGOUT",
        ] {
            peer.command(command)?;
        }
        Ok(())
    }

    fn pop3(&self, login: &str) -> anyhow::Result<()> {
        let mut peer = PlainPeer::open(self.address)?;
        peer.line()?;
        peer.pop3(&format!("USER {login}"), Pop3Reply::OneLine)?;
        peer.pop3(&format!("PASS {}", self.password), Pop3Reply::OneLine)?;
        peer.pop3("STAT", Pop3Reply::OneLine)?;
        peer.pop3("UIDL", Pop3Reply::MultiLine)?;
        peer.pop3("RETR 1", Pop3Reply::MultiLine)?;
        peer.pop3("QUIT", Pop3Reply::OneLine)
    }

    /// Opens connections, prints their number, and holds them until a line or the end of standard input.
    fn idle(&self, connections: u32) -> anyhow::Result<()> {
        let mut clients = Vec::new();
        for number in 0..connections {
            let mut client = TextClient::open(self.address)?;
            client.start_tls()?;
            client.until(&["* OK"])?;
            client.ask(&format!("a LOGIN {} {}", self.login(number), self.password), &["a OK"])?;
            client.ask("b SELECT INBOX", &["b OK"])?;
            client.send_line("c IDLE")?;
            client.until(&["+"])?;
            clients.push(client);
        }
        println!("{}", clients.len());
        std::io::stdin().read_line(&mut String::new())?;
        Ok(())
    }
}

/// Prints the median of each command, in order, over the rounds.
fn time(address: SocketAddr, user: &str, password: &str, rounds: usize, commands: &[&str]) -> anyhow::Result<()> {
    let mut peer = PlainPeer::open(address)?;
    peer.line()?;
    peer.command(&format!("LOGIN {user} {password}"))?;
    let mut times = vec![Vec::new(); commands.len()];
    for _ in 0..rounds {
        for (command, times) in commands.iter().zip(&mut times) {
            let begin = Instant::now();
            peer.command(command)?;
            times.push(begin.elapsed());
        }
    }
    for (command, mut times) in commands.iter().zip(times) {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or(Duration::ZERO);
        println!("{:>10.2} ms  {command}", median.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// The form of a successful reply to a POP3 command (RFC 1939 §3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pop3Reply {
    OneLine,
    /// Ends with a line that is only a dot.
    MultiLine,
}

/// A connection without TLS.
struct PlainPeer {
    socket: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl PlainPeer {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket: BufReader::with_capacity(64 * 1024, socket), line: Vec::new() })
    }

    fn line(&mut self) -> anyhow::Result<&[u8]> {
        self.line.clear();
        ensure!(self.socket.read_until(b'\n', &mut self.line)? > 0, "the peer closed");
        Ok(&self.line)
    }

    fn command(&mut self, command: &str) -> anyhow::Result<()> {
        self.socket.get_mut().write_all(format!("a {command}\r\n").as_bytes())?;
        loop {
            let line = self.line()?;
            if line.starts_with(b"a ") {
                ensure!(line.starts_with(b"a OK"), "{command}: {}", String::from_utf8_lossy(line));
                return Ok(());
            }
            if let Some(octets) = literal(line) {
                self.skip(octets).context("a literal")?;
            }
        }
    }

    fn pop3(&mut self, command: &str, reply: Pop3Reply) -> anyhow::Result<()> {
        self.socket.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        let line = self.line()?;
        ensure!(line.starts_with(b"+OK"), "{command}: {}", String::from_utf8_lossy(line));
        while reply == Pop3Reply::MultiLine && self.line()? != b".\r\n" {}
        Ok(())
    }

    fn skip(&mut self, mut octets: usize) -> anyhow::Result<()> {
        while octets > 0 {
            let there = self.socket.fill_buf()?.len().min(octets);
            ensure!(there > 0, "the peer closed");
            self.socket.consume(there);
            octets -= there;
        }
        Ok(())
    }
}

/// The number of octets of the literal that a line announces.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let from = line.iter().rposition(|octet| *octet == b'{')? + 1;
    std::str::from_utf8(line.get(from..)?).ok()?.parse().ok()
}
