"""The trace header that every message gets at the door.

Promises: one folded `Received` field, only printable ASCII whatever the peer called itself (sec-S19), at most one
recipient in it (never a second one: that would leak Bcc), no software version. RFC 5321 4.4, RFC 5322 3.3, RFC 3848.
"""
import re

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?\Z|\[[A-Za-z0-9.:]{1,64}\]\Z")
_NOT_PLAIN = re.compile(r"[^!-'*-\[\]-~]")  # anything but printable ASCII without parentheses and backslash


def plain(text: str, limit: int = 255) -> str:
    """`text` as it may stand in a header or a log line: printable ASCII, no comment signs, not too long."""
    return _NOT_PLAIN.sub("?", text[:limit])


def received(
    *,
    helo: str,
    client: str,
    hostname: str,
    protocol: str,
    queue_id: str,
    recipient: str,
    tls: str,
    date: str,
) -> bytes:
    """The `Received` field. `recipient`: "" where there are several; `client`: an address or the name of a source."""
    if not helo:
        source = f"from {_sender(client)}" if client else "from local"
    elif _NAME.match(helo):
        source = f"from {helo} ({_address(client)})"
    else:
        source = f"from {_sender(client)} (HELO {plain(helo)})"
    lines = [f"Received: {source}"]
    if tls:
        lines.append(f"\t(using {plain(tls, 100).replace('?', ' ')})")
    lines.append(f"\tby {hostname} with {protocol} id {queue_id}")
    if recipient and recipient.isascii() and "\\" not in recipient and '"' not in recipient:
        lines.append(f"\tfor <{plain(recipient, 320)}>")
    return ("\r\n".join(lines) + f"; {date}\r\n").encode("ascii", "replace")


def _address(client: str) -> str:
    if ":" in client:
        return f"[IPv6:{plain(client, 64)}]"
    return f"[{plain(client, 64)}]"


def _sender(client: str) -> str:
    if client and (client[0].isdigit() or ":" in client):
        return _address(client)
    return plain(client, 200) or "local"
