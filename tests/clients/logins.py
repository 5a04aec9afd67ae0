"""Every row of a registrar's file that is in the directory logs in by IMAP, POP3 and submission.

logins.py FILE.csv ENTRIES.ldif: the LDIF has provostSourceId and mail of every person. Prints how many logged in, and
the lines of the file whose person is not in the directory.
"""

import csv
import imaplib
import poplib
import smtplib
import sys
from concurrent.futures import ThreadPoolExecutor

from node import HOST, LIMIT, port

WORKERS = 8


def addresses(file):
    found = {}
    for entry in open(file, encoding="utf-8").read().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
        if "provostSourceId" in fields:
            found[fields["provostSourceId"].split(":", 1)[1]] = fields["mail"]
    return found


def log_in(row):
    mail, password = row
    client = imaplib.IMAP4(HOST, port("IMAP"), timeout=LIMIT)
    client.login(mail, password)
    client.logout()
    client = poplib.POP3(HOST, port("POP3"), timeout=LIMIT)
    client.user(mail)
    client.pass_(password)
    client.quit()
    with smtplib.SMTP(HOST, port("SUBMISSION"), timeout=LIMIT) as client:
        client.login(mail, password)


def main(file, entries):
    known = addresses(entries)
    rows = list(csv.DictReader(open(file, encoding="utf-8-sig", newline="")))
    wanted = [(known[row["person_id"]], row["password"]) for row in rows if row["person_id"] in known]
    assert wanted, "no row of the file is in the directory"
    assert len(set(wanted)) == len(wanted), "two rows have one address and one password"
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(log_in, wanted))
    left_out = [number for number, row in enumerate(rows, 2) if row["person_id"] not in known]
    print(f"{len(wanted)} logged in; lines left out: {' '.join(map(str, left_out))}")


main(*sys.argv[1:])
