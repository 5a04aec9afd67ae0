"""What the tests tell a client of the node: ports and people in the environment."""

import os
import socket
import ssl

HOST = "127.0.0.1"
# Seconds that one answer may take; a client that waits longer has failed.
LIMIT = 30
socket.setdefaulttimeout(LIMIT)


def port(name):
    return int(os.environ["PORT_" + name])


def person(number):
    return os.environ[f"USER{number}"], os.environ[f"PASSWORD{number}"]


def any_certificate():
    """TLS to a server whose certificate is its own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def case(function):
    """Runs one case at import, with its name where it fails."""
    try:
        function()
    except Exception:
        print(f"FAILED: {function.__name__}", flush=True)
        raise
    print(f"good: {function.__name__}", flush=True)
    return function
