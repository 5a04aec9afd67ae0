"""Odd messages in by LMTP and by APPEND, out by IMAP and by POP3: the same octets."""

import glob
import imaplib
import os
import poplib
import random
import re
import socket

from node import HOST, LIMIT, case, person, port

USER, PASSWORD = person(6)
OTHER, OTHER_PASSWORD = person(7)
MESSAGE_COUNT = 200
# All that delivery prepends.
TRACE = re.compile(
    rb"\AReturn-Path: <a@example\.net>\r\nDelivered-To: [^\r\n]+\r\n"
    rb"Received: from [^\r\n]+\r\n\tby [^\r\n]+ with LMTP id [^\r\n]+;\r\n\t[^\r\n]+\r\n\Z"
)

# How a header field begins.
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
# How a message with a header section begins, or one with an empty section.
HEADER = re.compile(rb"\A(?:[!-9;-~]+[ \t]*:|>?From |\r\n)")


def collected():
    """CPython's own test messages, with CRLF line ends."""
    folders = {os.path.join(os.path.dirname(os.__file__), "test/test_email/data")}
    folders |= set(glob.glob("/usr/lib/python3*/test/test_email/data"))
    for folder in sorted(folders):
        for file in sorted(glob.glob(os.path.join(folder, "*.txt"))):
            with open(file, "rb") as opened:
                text = re.sub(rb"\r\n|\r|\n", b"\r\n", opened.read())
            if b"\0" not in text:
                yield text if text.endswith(b"\r\n") else text + b"\r\n"


def written():
    """Messages that a server could change by mistake."""
    head = b"From: a@example.net\r\nSubject: odd\r\n"
    yield b"\r\n"
    yield head + b"\r\n"
    yield head
    yield b"no header at all\r\n"
    yield b".\r\n"
    yield b".\r\n.\r\n..\r\n...\r\n"
    yield b"..begins with dots\r\n\r\n.\r\n"
    yield head + b"\r\n" + b".\r\n" * 500
    yield head + b"\r\n" + b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n"
    yield head + b"X-Long: " + b"y" * 990 + b"\r\n\r\nz\r\n"
    yield head + b"\r\n" + b"\r\n" * 300
    yield head + b"\r\n \t \r\n\t\r\n   trailing   \r\n"
    yield head + b"\r\n" + bytes(octet for octet in range(1, 256) if octet not in (10, 13)) + b"\r\n"
    yield b"Subject: \xe9\xe8 raw latin\r\n\r\n\xff\xfe\x80\r\n"
    yield b"Subject: =?utf-8?q?broken\r\nContent-Type: multipart/mixed; boundary=\"\r\n\r\n--\r\n----\r\n"
    part = b"--b\r\nContent-Type: message/rfc822\r\n\r\n--b--\r\n"
    yield b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + part
    yield b": no name\r\n continued\r\n\r\nbody\r\n"
    yield b"From nobody Mon Sep  7 10:00:00 2026\r\nSubject: mbox line\r\n\r\nFrom here\r\n>From there\r\n"
    yield "Subject: ☀ été\r\n\r\n日本語 à l’été\r\n".encode()
    yield head + b"\r\n" + b"line of a larger message, seventy octets or so, again and again 0123456\r\n" * 5000


def made(count):
    """Random messages: the same ones in every run."""
    chance = random.Random(2026)
    octets = [octet for octet in range(1, 256) if octet not in (10, 13)]
    words = [b".", b"..", b"", b" ", b"\t", b"--b", b"From x", b"=?utf-8?b?4pi?=", "été".encode()]
    words.append(b"Content-Type: text/plain")
    for number in range(count):
        lines = [b"Subject: made %d" % number]
        for _ in range(chance.randrange(0, 40)):
            kind = chance.randrange(3)
            if kind == 0:
                lines.append(chance.choice(words))
            elif kind == 1:
                lines.append(bytes(chance.choices(octets, k=chance.choice([1, 7, 80, 997, 998]))))
            else:
                lines.append(b"plain line")
        yield b"\r\n".join(lines) + b"\r\n"


MESSAGES = list(written()) + list(collected())
MESSAGES += list(made(MESSAGE_COUNT - len(MESSAGES)))


class Lmtp:
    """An LMTP client that keeps line ends, which smtplib would change."""

    def __init__(self):
        self.socket = socket.create_connection((HOST, port("LMTP")), LIMIT)
        self.file = self.socket.makefile("rb")
        self.expect(b"220")
        self.command(b"LHLO odd.example.net", b"250")

    def expect(self, code):
        while True:
            line = self.file.readline()
            assert line.startswith(code), line
            if line[3:4] != b"-":
                return

    def command(self, line, code):
        self.socket.sendall(line + b"\r\n")
        self.expect(code)

    def deliver(self, message):
        self.command(b"MAIL FROM:<a@example.net> BODY=8BITMIME", b"250")
        self.command(b"RCPT TO:<" + USER.encode() + b">", b"250")
        self.command(b"DATA", b"354")
        stuffed = re.sub(rb"(\A|\r\n)\.", rb"\1..", message)
        self.socket.sendall(stuffed + b".\r\n")
        self.expect(b"250")


def with_empty_line(message):
    """The message with an empty line before its text, which starts at the first line that is no field."""
    if not HEADER.match(message):
        return b"\r\n" + message
    at = 0
    for line in message.splitlines(keepends=True):
        if line == b"\r\n":
            return message
        is_folded = at > 0 and line[:1] in (b" ", b"\t")
        is_mailbox_line = at == 0 and re.match(rb">?From ", line)
        if not is_folded and not is_mailbox_line and not FIELD.match(line):
            return message[:at] + b"\r\n" + message[at:]
        at += len(line)
    return message


def assert_same(found, message, number, protocol):
    whole = with_empty_line(message)
    assert found.endswith(whole), (protocol, number, whole[:200], found[:600])
    added = found[: len(found) - len(whole)]
    assert TRACE.match(added), (protocol, number, added)


def by_imap(user, password):
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    client.login(user, password)
    client.select("INBOX", readonly=True)
    _, data = client.fetch("1:*", "(RFC822.SIZE BODY.PEEK[])")
    client.logout()
    parts = [part for part in data if isinstance(part, tuple)]
    for part in parts:
        assert b"RFC822.SIZE %d " % len(part[1]) in part[0] + b" ", part[0]
    return [part[1] for part in parts]


def by_pop3(user, password):
    client = poplib.POP3(HOST, port("POP3"), timeout=LIMIT)
    client.user(user)
    client.pass_(password)
    count, _ = client.stat()
    messages = []
    for number in range(1, count + 1):
        # poplib removes only the dot-stuffing and the line ends.
        messages.append(b"".join(line + b"\r\n" for line in client.retr(number)[1]))
    client.quit()
    return messages


@case
def there_are_enough():
    assert len(MESSAGES) >= MESSAGE_COUNT, len(MESSAGES)
    print(f"{len(MESSAGES)} messages, {sum(map(len, MESSAGES))} octets")


@case
def lmtp_in():
    client = Lmtp()
    for message in MESSAGES:
        client.deliver(message)
    client.command(b"QUIT", b"221")


@case
def imap_out():
    found = by_imap(USER, PASSWORD)
    assert len(found) == len(MESSAGES), len(found)
    for number, (octets, message) in enumerate(zip(found, MESSAGES)):
        assert_same(octets, message, number, "IMAP")


@case
def pop3_out():
    found = by_pop3(USER, PASSWORD)
    assert len(found) == len(MESSAGES), len(found)
    for number, (octets, message) in enumerate(zip(found, MESSAGES)):
        assert_same(octets, message, number, "POP3")


@case
def append_keeps_a_message_without_final_line_end():
    raw = [message[:-2] for message in MESSAGES if len(message) > 2]
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    client.login(OTHER, OTHER_PASSWORD)
    # imaplib would turn each bare CR and LF into CRLF.
    imaplib.MapCRLF = re.compile(rb"(?!)")
    for message in raw:
        status, data = client.append("INBOX", None, None, message)
        assert status == "OK", data
    client.logout()
    assert by_imap(OTHER, OTHER_PASSWORD) == raw
    # RFC 1939 §3: a multi-line reply ends in CRLF, so one is added where there is none.
    whole = [message if message.endswith(b"\r\n") else message + b"\r\n" for message in raw]
    assert by_pop3(OTHER, OTHER_PASSWORD) == whole
