"""Python's smtplib against the node: mail from outside (MX), LMTP and submission."""

import imaplib
import smtplib

from node import HOST, LIMIT, any_certificate, case, person, port

USER, PASSWORD = person(4)
OTHER, OTHER_PASSWORD = person(5)


def inbox(user, password):
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    client.login(user, password)
    count = int(client.select("INBOX")[1][0])
    messages = []
    for number in range(1, count + 1):
        messages.append(client.fetch(str(number), "(BODY.PEEK[])")[1][0][1])
    client.logout()
    return messages


def found(user, password, token):
    return [message for message in inbox(user, password) if token.encode() in message]


def refused(code, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except smtplib.SMTPRecipientsRefused as error:
        codes = {answer[0] for answer in error.recipients.values()}
        assert codes == {code}, error.recipients
        return
    except smtplib.SMTPResponseException as error:
        assert error.smtp_code == code, error
        return
    raise AssertionError(f"{call} {arguments} was not refused")


@case
def delivers_from_outside():
    with smtplib.SMTP(HOST, port("MX"), timeout=LIMIT) as client:
        client.ehlo()
        assert {"8bitmime", "size", "pipelining"} <= client.esmtp_features.keys(), client.esmtp_features
        assert not client.has_extn("auth"), "AUTH is offered on the MX listener"
        client.sendmail("a@example.net", [USER], b"Subject: mx-1\r\n\r\nhello\r\n")
        client.sendmail("", [USER], b"Subject: mx-null\r\n\r\nhello\r\n")
    (message,) = found(USER, PASSWORD, "Subject: mx-1")
    assert message.startswith(b"Return-Path: <a@example.net>\r\n"), message
    (message,) = found(USER, PASSWORD, "mx-null")
    assert message.startswith(b"Return-Path: <>\r\n"), message


@case
def takes_eight_bits():
    header = "Subject: eight-bit\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    message_sent = f"{header}\r\nÀ l’été ☀\r\n".encode()
    with smtplib.SMTP(HOST, port("MX"), timeout=LIMIT) as client:
        client.sendmail("a@example.net", [USER], message_sent, mail_options=["BODY=8BITMIME"])
    (message,) = found(USER, PASSWORD, "eight-bit")
    assert message.endswith(message_sent), message


@case
def answers_each_recipient():
    with smtplib.SMTP(HOST, port("MX"), timeout=LIMIT) as client:
        lost = client.sendmail("a@example.net", [USER, OTHER, "nobody@example.edu"], b"Subject: several\r\n\r\nx\r\n")
        assert list(lost) == ["nobody@example.edu"] and lost["nobody@example.edu"][0] == 550, lost
        refused(550, client.sendmail, "a@example.net", ["nobody@example.edu"], b"x")
    with smtplib.SMTP(HOST, port("MX"), timeout=LIMIT) as client:
        refused(550, client.sendmail, "a@example.net", ["somebody@example.org"], b"x")
    for reader in [(USER, PASSWORD), (OTHER, OTHER_PASSWORD)]:
        assert len(found(*reader, "Subject: several")) == 1
    with smtplib.LMTP(HOST, port("LMTP")) as client:
        lost = client.sendmail("a@example.net", [USER, "nobody@example.edu"], b"Subject: by-lmtp\r\n\r\nx\r\n")
        assert lost["nobody@example.edu"][0] == 550, lost
    assert len(found(USER, PASSWORD, "by-lmtp")) == 1


@case
def submits_with_starttls():
    with smtplib.SMTP(HOST, port("SUBMISSION"), timeout=LIMIT) as client:
        client.starttls(context=any_certificate())
        client.ehlo()
        refused(530, client.sendmail, USER, [OTHER], b"x")
        client.rset()
        refused(535, client.login, USER, PASSWORD + "x")
        client.login(USER, PASSWORD)
        client.sendmail(USER, [OTHER, USER], b"From: me\r\nSubject: submitted-1\r\n\r\nx\r\n")
        refused(553, client.sendmail, OTHER, [USER], b"somebody else's name\r\n")
    (message,) = found(OTHER, OTHER_PASSWORD, "submitted-1")
    assert b"with ESMTPSA id" in message, message


@case
def submits_in_tls():
    for mechanism in ["auth_plain", "auth_login"]:
        with smtplib.SMTP_SSL(HOST, port("SUBMISSIONS"), context=any_certificate(), timeout=LIMIT) as client:
            client.ehlo()
            client.user, client.password = USER, PASSWORD
            code, text = client.auth(mechanism[5:].upper(), getattr(client, mechanism))
            assert code == 235, text
            client.sendmail(USER, [OTHER], f"From: me\r\nSubject: {mechanism}\r\n\r\nx\r\n".encode())
        assert len(found(OTHER, OTHER_PASSWORD, mechanism)) == 1


@case
def takes_a_large_message():
    message_sent = b"Subject: large\r\n\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * 100_000
    with smtplib.SMTP(HOST, port("MX"), timeout=LIMIT) as client:
        client.sendmail("a@example.net", [OTHER], message_sent)
        too_large = int(client.esmtp_features["size"]) + 1
        code, text = client.mail("a@example.net", [f"SIZE={too_large}"])
        assert code == 552, text
    (message,) = found(OTHER, OTHER_PASSWORD, "Subject: large")
    assert message.endswith(message_sent), "the message was changed"
