"""Python's imaplib against the node."""

import imaplib
import re

from node import HOST, LIMIT, any_certificate, case, person, port

USER, PASSWORD = person(1)


def good(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def refused(call, *arguments):
    try:
        status, data = call(*arguments)
    except imaplib.IMAP4.error:
        return
    assert status == "NO", (status, data)


def open_plain(user=USER, password=PASSWORD):
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    good(client.login(user, password))
    return client


def message(subject, body="text\r\n"):
    header = f"From: a@example.net\r\nTo: {USER}\r\nSubject: {subject}\r\nDate: Mon, 7 Sep 2026 10:00:00 -0400\r\n"
    return f"{header}\r\n{body}".encode()


def numbers(answer):
    return good(answer)[0].split()


@case
def logs_in_three_ways():
    open_plain().logout()
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    good(client.starttls(any_certificate()))
    good(client.login(USER, PASSWORD))
    client.logout()
    client = imaplib.IMAP4_SSL(HOST, port("IMAPS"), ssl_context=any_certificate(), timeout=LIMIT)
    plain = f"\0{USER}\0{PASSWORD}".encode()
    good(client.authenticate("PLAIN", lambda _: plain))
    client.logout()


@case
def refuses_a_wrong_password():
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    refused(client.login, USER, PASSWORD + "x")
    refused(client.login, "nobody@example.edu", PASSWORD)
    good(client.login(USER, PASSWORD))
    client.logout()


@case
def lists_mailboxes():
    client = open_plain()
    good(client.create("Projets"))
    good(client.create("Projets/2026"))
    good(client.create('"Envoy&AOk-s"'))
    found = [line.decode() for line in good(client.list())]
    names = {re.search(r'"?([^" ]+)"?$', line).group(1) for line in found}
    assert {"INBOX", "Projets", "Projets/2026", "Envoy&AOk-s"} <= names, found
    assert any("\\HasChildren" in line for line in found if "Projets" in line), found
    assert any("\\Sent" in line for line in found), found
    good(client.subscribe("Projets"))
    assert any(b"Projets" in line for line in good(client.lsub()))
    good(client.unsubscribe("Projets"))
    assert not any(line and b"Projets" in line for line in good(client.lsub()))
    good(client.rename("Projets", "Archives"))
    good(client.select("Archives/2026"))
    good(client.close())
    refused(client.select, "Projets")
    good(client.delete("Archives/2026"))
    good(client.delete("Archives"))
    refused(client.delete, "INBOX")
    good(client.namespace())
    client.logout()


@case
def appends_and_fetches():
    client = open_plain()
    good(client.create("box"))
    first = message("first", "one\r\ntwo\r\n")
    data = good(client.append("box", r"(\Seen Forwarded)", '"07-Sep-2026 10:00:00 -0400"', first))
    assert re.search(rb"APPENDUID \d+ 1\b", data[0]), data
    assert good(client.select("box")) == [b"1"]
    data = good(client.fetch("1", "(UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))
    text = b" ".join(part if isinstance(part, bytes) else b" ".join(part) for part in data)
    assert data[0][1] == first, data
    for word in [
        rb"UID 1\b",
        rb"\\Seen",
        b"Forwarded",
        b"RFC822.SIZE %d" % len(first),
        rb'" 7-Sep-2026 14:00:00 \+0000"',
        b'"first"',
        b'"TEXT" "PLAIN"',
    ]:
        assert re.search(word, text, re.I), (word, text)
    assert good(client.fetch("1", "(BODY.PEEK[TEXT]<5.3>)"))[0][1] == b"two"
    header = good(client.fetch("1", "(BODY.PEEK[HEADER.FIELDS (Subject)])"))[0][1]
    assert header == b"Subject: first\r\n\r\n", header
    assert b"MESSAGES 1" in good(client.status("box", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"))[0]
    refused(client.append, "no/such/box", None, None, first)
    client.logout()


@case
def stores_flags():
    client = open_plain()
    client.select("box")
    assert b"\\Flagged" in good(client.store("1", "+FLAGS", r"(\Flagged)"))[0]
    assert b"\\Flagged" not in good(client.store("1", "-FLAGS", r"(\Flagged)"))[0]
    data = good(client.store("1", "FLAGS", r"(\Answered cours)"))[0]
    assert b"\\Answered" in data and b"cours" in data and b"\\Seen" not in data, data
    good(client.close())
    good(client.select("box", readonly=True))
    refused(client.store, "1", "+FLAGS", r"(\Flagged)")
    client.logout()


@case
def searches():
    client = open_plain()
    good(client.create("search"))
    for number in range(1, 6):
        flags = r"(\Seen)" if number % 2 else None
        date = f'"{number:02}-Sep-2026 12:00:00 +0000"'
        good(client.append("search", flags, date, message(f"number {number}", f"word{number}\r\n")))
    header = "Subject: =?utf-8?q?R=C3=A9union?=\r\nContent-Type: text/plain; charset=utf-8\r\n"
    good(client.append("search", None, None, f"{header}\r\nÀ l'été\r\n".encode()))
    client.select("search")
    assert numbers(client.search(None, "ALL")) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert numbers(client.search(None, "SEEN")) == [b"1", b"3", b"5"]
    assert numbers(client.search(None, "UNSEEN", "SUBJECT", '"number"')) == [b"2", b"4"]
    assert numbers(client.search(None, "OR", "BODY", "word1", "BODY", "word2")) == [b"1", b"2"]
    assert numbers(client.search(None, "NOT", "FROM", "a@example.net")) == [b"6"]
    assert numbers(client.search(None, "SINCE", "4-Sep-2026", "BEFORE", "6-Sep-2026")) == [b"4", b"5"]
    assert numbers(client.search(None, "LARGER", "1000000")) == []
    assert numbers(client.uid("SEARCH", "UID", "2:3")) == [b"2", b"3"]
    client.literal = "réunion".encode()
    assert numbers(client.search("UTF-8", "SUBJECT")) == [b"6"]
    client.literal = "été".encode()
    assert numbers(client.search("UTF-8", "TEXT")) == [b"6"]
    refused(client.search, "X-NO-SUCH", "ALL")
    client.logout()


@case
def copies_moves_expunges():
    client = open_plain()
    good(client.create("target"))
    client.select("search")
    data = good(client.copy("1:2", "target"))
    assert re.search(rb"COPYUID \d+ 1:2 1:2", data[0]), data
    good(client.uid("COPY", "3", "target"))
    assert "MOVE" in client.capabilities, client.capabilities
    good(client.uid("MOVE", "4", "target"))
    assert numbers(client.uid("SEARCH", "ALL")) == [b"1", b"2", b"3", b"5", b"6"]
    refused(client.copy, "1", "no/such/box")
    client.store("1,2", "+FLAGS", r"(\Deleted)")
    good(client.uid("EXPUNGE", "2"))
    assert numbers(client.uid("SEARCH", "ALL")) == [b"1", b"3", b"5", b"6"]
    # imaplib has collected the EXPUNGE responses to UID MOVE and UID EXPUNGE.
    assert client.response("EXPUNGE")[1] == [b"4", b"2"]
    assert good(client.expunge()) == [b"1"]
    assert numbers(client.uid("SEARCH", "ALL")) == [b"3", b"5", b"6"]
    assert good(client.select("target")) == [b"4"]
    data = good(client.fetch("4", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] INTERNALDATE)"))
    assert b"number 4" in data[0][1] and b" 4-Sep-2026" in data[0][0] + data[1], data
    client.logout()


@case
def idle_reports_new_and_expunged_mail():
    watcher = open_plain()
    good(watcher.create("idle"))
    watcher.select("idle")
    watcher.send(b"idle1 IDLE\r\n")
    assert watcher.readline().startswith(b"+")
    other = open_plain()
    other.append("idle", None, None, message("new"))
    assert watcher.readline() == b"* 1 EXISTS\r\n"
    other.select("idle")
    other.store("1", "+FLAGS", r"(\Deleted)")
    heard = []
    other.expunge()
    while not heard or heard[-1] != b"* 1 EXPUNGE\r\n":
        heard.append(watcher.readline())
        assert heard[-1], heard
    watcher.send(b"DONE\r\n")
    while not watcher.readline().startswith(b"idle1 OK"):
        pass
    watcher.logout()
    other.logout()


@case
def people_do_not_see_each_other():
    client = open_plain(*person(2))
    assert not any(b"target" in line for line in good(client.list()))
    assert good(client.select("INBOX")) == [b"0"]
    client.logout()
