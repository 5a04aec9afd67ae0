"""Python's poplib against the node."""

import imaplib
import poplib
import time

from node import HOST, LIMIT, any_certificate, case, person, port

USER, PASSWORD = person(3)
TEXT = b"From: a@example.net\r\nSubject: %d\r\n\r\nfirst\r\n.\r\n..dots\r\nlast\r\n"
MESSAGES = [TEXT % number for number in range(1, 6)]


def log_in():
    client = poplib.POP3(HOST, port("POP3"), timeout=LIMIT)
    client.user(USER)
    client.pass_(PASSWORD)
    return client


def log_in_again():
    """After a connection was cut: the server may hold the maildrop until it notices."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return log_in()
        except poplib.error_proto as error:
            if b"IN-USE" not in error.args[0] or time.monotonic() > end:
                raise
            time.sleep(0.01)


def refused(call, *arguments):
    try:
        call(*arguments)
    except poplib.error_proto:
        return
    raise AssertionError(f"{call} {arguments} was not refused")


@case
def fills_the_mailbox():
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    client.login(USER, PASSWORD)
    for message in MESSAGES:
        assert client.append("INBOX", None, None, message)[0] == "OK"
    client.logout()


@case
def logs_in_three_ways():
    client = log_in()
    assert client.stat() == (5, sum(map(len, MESSAGES)))
    client.quit()
    client = poplib.POP3(HOST, port("POP3"), timeout=LIMIT)
    assert "STLS" in client.capa()
    client.stls(any_certificate())
    assert "STLS" not in client.capa()
    client.user(USER)
    client.pass_(PASSWORD)
    client.quit()
    client = poplib.POP3_SSL(HOST, port("POP3S"), context=any_certificate(), timeout=LIMIT)
    client.user(USER)
    client.pass_(PASSWORD)
    assert client.stat()[0] == 5
    client.quit()


@case
def refuses_a_wrong_password():
    client = poplib.POP3(HOST, port("POP3"), timeout=LIMIT)
    client.user(USER)
    refused(client.pass_, PASSWORD + "x")
    client.close()


@case
def reads():
    client = log_in()
    assert [line.split() for line in client.list()[1]] == [
        [b"%d" % number, b"%d" % len(message)] for number, message in enumerate(MESSAGES, 1)
    ]
    for number, message in enumerate(MESSAGES, 1):
        assert b"\r\n".join(client.retr(number)[1]) + b"\r\n" == message
    assert client.top(2, 1)[1] == [b"From: a@example.net", b"Subject: 2", b"", b"first"]
    uids = {line.split()[1] for line in client.uidl()[1]}
    assert len(uids) == 5
    refused(client.retr, 6)
    client.quit()
    client = log_in()
    assert {line.split()[1] for line in client.uidl()[1]} == uids, "unique-ids have changed between two sessions"
    client.quit()
    for _ in range(50):
        # RFC 1939 §6: QUIT releases the maildrop.
        log_in().quit()


@case
def deletes_at_quit():
    client = log_in()
    client.dele(1)
    client.dele(2)
    refused(client.retr, 1)
    client.rset()
    assert client.stat()[0] == 5
    client.dele(5)
    client.close()
    client = log_in_again()
    assert client.stat()[0] == 5, "a session without QUIT has deleted a message"
    client.dele(5)
    client.quit()
    client = log_in()
    assert client.stat()[0] == 4
    client.quit()
