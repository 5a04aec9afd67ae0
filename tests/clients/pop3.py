"""python's poplib against the node."""

import imaplib
import poplib
import time

from node import HOST, LIMIT, any_certificate, case, person, port

USER, PASSWORD = person(3)
BODIES = [b"From: a@example.net\r\nSubject: %d\r\n\r\nfirst\r\n.\r\n..dots\r\nlast\r\n" % number for number in range(1, 6)]


def plain():
    client = poplib.POP3(HOST, port("POP3"), timeout=LIMIT)
    client.user(USER)
    client.pass_(PASSWORD)
    return client


def plain_again():
    """After a connection that was cut: the server may not have heard of it yet."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return plain()
        except poplib.error_proto as error:
            if b"IN-USE" not in error.args[0] or time.monotonic() > end:
                raise
            time.sleep(0.01)


def refused(call, *arguments):
    try:
        call(*arguments)
    except poplib.error_proto:
        return
    raise AssertionError(f"{call} {arguments} was taken")


@case
def prepares():
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    client.login(USER, PASSWORD)
    for body in BODIES:
        assert client.append("INBOX", None, None, body)[0] == "OK"
    client.logout()


@case
def logs_in_three_ways():
    client = plain()
    assert client.stat() == (5, sum(map(len, BODIES)))
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
    client = plain()
    assert [line.split() for line in client.list()[1]] == [[b"%d" % n, b"%d" % len(b)] for n, b in enumerate(BODIES, 1)]
    for number, body in enumerate(BODIES, 1):
        assert b"\r\n".join(client.retr(number)[1]) + b"\r\n" == body
    assert client.top(2, 1)[1] == [b"From: a@example.net", b"Subject: 2", b"", b"first"]
    uids = {line.split()[1] for line in client.uidl()[1]}
    assert len(uids) == 5
    refused(client.retr, 6)
    client.quit()
    client = plain()
    assert {line.split()[1] for line in client.uidl()[1]} == uids, "the same at each login"
    client.quit()
    for _ in range(50):
        # RFC 1939 §6: after QUIT the maildrop is free at once.
        plain().quit()


@case
def deletes_at_quit():
    client = plain()
    client.dele(1)
    client.dele(2)
    refused(client.retr, 1)
    client.rset()
    assert client.stat()[0] == 5
    client.dele(5)
    client.close()
    client = plain_again()
    assert client.stat()[0] == 5, "a connection that is cut deletes nothing"
    client.dele(5)
    client.quit()
    client = plain()
    assert client.stat()[0] == 4
    client.quit()
