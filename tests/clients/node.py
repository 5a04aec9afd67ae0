"""What all clients need: the node's ports and people, from the environment, and the run of a case."""

import os
import socket
import ssl

HOST = "127.0.0.1"
# Longest wait for the node's next octets, seconds.
LIMIT = 30
socket.setdefaulttimeout(LIMIT)


def port(name):
    return int(os.environ["PORT_" + name])


def person(number):
    return os.environ[f"USER{number}"], os.environ[f"PASSWORD{number}"]


def any_certificate():
    """A TLS context that accepts any certificate: the node's is self-signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def case(function):
    """Runs a case when its module is loaded, and prints its name and whether it failed."""
    try:
        function()
    except Exception:
        print(f"FAILED: {function.__name__}", flush=True)
        raise
    print(f"good: {function.__name__}", flush=True)
    return function
