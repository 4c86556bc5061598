"""What Thunderbird, Evolution and others read at first contact (Mozilla's clientConfig 1.1), and Apple's profile.

Promises: well-formed XML whatever the settings or a stranger put in; no password, no word about whether the address
exists: the answer depends on the domain and the settings alone. Nothing here can fail.
"""

import plistlib
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID
from xml.sax.saxutils import escape, quoteattr

from bridge.wire.ways import Kind, Tls, Way, best

MEDIA_TYPE = "application/xml; charset=utf-8"
APPLE_MEDIA_TYPE = "application/x-apple-aspen-config"
_SOCKET = {Tls.IMPLICIT: "SSL", Tls.STARTTLS: "STARTTLS"}


def client_config(domain: str, name: str, offered: Sequence[Way]) -> bytes:
    """config-v1.1.xml for every address of a domain."""
    servers = "".join(_server(one) for one in offered)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<clientConfig version="1.1">\n'
        f"  <emailProvider id={quoteattr(domain)}>\n"
        f"    <domain>{escape(domain)}</domain>\n"
        f"    <displayName>{escape(name)}</displayName>\n"
        f"    <displayShortName>{escape(name)}</displayShortName>\n"
        f"{servers}"
        "  </emailProvider>\n"
        "</clientConfig>\n"
    ).encode()


def _server(way: Way) -> str:
    element = "outgoingServer" if way.kind is Kind.SMTP else "incomingServer"
    return (
        f'    <{element} type="{way.kind.value}">\n'
        f"      <hostname>{escape(way.host)}</hostname>\n"
        f"      <port>{way.port}</port>\n"
        f"      <socketType>{_SOCKET[way.tls]}</socketType>\n"
        "      <username>%EMAILADDRESS%</username>\n"
        "      <authentication>password-cleartext</authentication>\n"
        f"    </{element}>\n"
    )


def apple_profile(address: str, domain: str, name: str, offered: Sequence[Way]) -> bytes | None:
    """A configuration profile for iOS and macOS; None without a way in and a way out."""
    coming, going = best(offered, Kind.IMAP) or best(offered, Kind.POP3), best(offered, Kind.SMTP)
    if coming is None or going is None:
        return None
    reverse = ".".join(reversed(domain.split(".")))
    mail = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{reverse}.mail",
        "PayloadUUID": _uuid("mail", address),
        "PayloadDisplayName": name,
        "EmailAccountType": "EmailTypeIMAP" if coming.kind is Kind.IMAP else "EmailTypePOP",
        "EmailAccountDescription": name,
        "EmailAddress": address,
        **_apple_server("Incoming", coming, address),
        **_apple_server("Outgoing", going, address),
        "OutgoingPasswordSameAsIncomingPassword": True,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{reverse}.profile",
        "PayloadUUID": _uuid("profile", address),
        "PayloadDisplayName": name,
        "PayloadDescription": address,
        "PayloadContent": [mail],
    }
    return plistlib.dumps(profile)


def _apple_server(side: str, way: Way, address: str) -> dict[str, object]:
    return {
        f"{side}MailServerAuthentication": "EmailAuthPassword",
        f"{side}MailServerHostName": way.host,
        f"{side}MailServerPortNumber": way.port,
        f"{side}MailServerUseSSL": True,
        f"{side}MailServerUsername": address,
    }


def _uuid(what: str, address: str) -> str:
    """The same for the same address, so that a newer profile takes the place of the older one."""
    return str(UUID(bytes=sha256(f"{what}:{address}".encode()).digest()[:16], version=4)).upper()
