"""I46, W20: what Thunderbird, Evolution and Apple's programs are told."""

import plistlib
import xml.etree.ElementTree as ET

from bridge.wire.autoconfig import apple_profile, client_config
from bridge.wire.ways import ways

ALL = ways("mail.example.org", {"imaps": 993, "imap": 143, "pop3s": 995, "submissions": 465, "submission": 587})


def test_mozillas_document() -> None:
    provider = ET.fromstring(client_config("example.org", "Correo & más <x>", ALL)).find("emailProvider")
    assert provider is not None
    assert provider.get("id") == provider.findtext("domain") == "example.org"
    assert provider.findtext("displayName") == "Correo & más <x>"
    incoming = [
        (one.get("type"), one.findtext("hostname"), one.findtext("port"), one.findtext("socketType"))
        for one in provider.findall("incomingServer")
    ]
    assert incoming == [
        ("imap", "mail.example.org", "993", "SSL"), ("imap", "mail.example.org", "143", "STARTTLS"),
        ("pop3", "mail.example.org", "995", "SSL"),
    ]  # fmt: skip
    outgoing = [(one.get("type"), one.findtext("port"), one.findtext("socketType"))
                for one in provider.findall("outgoingServer")]  # fmt: skip
    assert outgoing == [("smtp", "465", "SSL"), ("smtp", "587", "STARTTLS")]
    for one in (*provider.findall("incomingServer"), *provider.findall("outgoingServer")):
        assert one.findtext("username") == "%EMAILADDRESS%"
        assert one.findtext("authentication") == "password-cleartext"


def test_a_name_can_not_break_out() -> None:
    found = ET.fromstring(client_config('a"><x/>', '"]]><!--', ALL))
    assert len(found) == 1


def test_apples_profile() -> None:
    data = apple_profile("ana@example.org", "example.org", "Correo", ALL)
    assert data is not None
    profile = plistlib.loads(data)
    mail = profile["PayloadContent"][0]
    assert (mail["EmailAccountType"], mail["EmailAddress"]) == ("EmailTypeIMAP", "ana@example.org")
    assert (mail["IncomingMailServerPortNumber"], mail["OutgoingMailServerPortNumber"]) == (993, 465)
    assert mail["IncomingMailServerUsername"] == mail["OutgoingMailServerUsername"] == "ana@example.org"
    assert mail["IncomingMailServerUseSSL"] is mail["OutgoingMailServerUseSSL"] is True
    assert b"assword</key>" not in data.replace(b"OutgoingPasswordSameAsIncomingPassword", b""), "no secrets"
    assert apple_profile("ana@example.org", "example.org", "Correo", ALL) == data, "the same for the same"
    assert apple_profile("b@example.org", "example.org", "Correo", ALL) != data
    assert apple_profile("ana@example.org", "example.org", "Correo", ways("h", {"imaps": 993})) is None
