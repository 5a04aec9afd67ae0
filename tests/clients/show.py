"""A message as python's email package reads it: show.py FILE prints decoded header fields, an empty line, the text."""

import email
import email.policy
import sys

with open(sys.argv[1], "rb") as opened:
    message = email.message_from_binary_file(opened, policy=email.policy.default)
for name, value in message.items():
    print(f"{name}: {value}")
print()
print(message.get_body(("plain",)).get_content())
assert not message.defects, message.defects
