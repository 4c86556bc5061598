"""S38: keys and their records."""
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.trust import key as keys


def test_the_record_of_a_zone_file_is_cut_in_strings():
    made = keys.read("example.org", "s1", keys.generate("rsa"))
    line = keys.zone_line(made.name, made.record)
    assert line.startswith('s1._domainkey.example.org. IN TXT ( "v=DKIM1; k=rsa; p=')
    assert max(map(len, line.split('"'))) == 255
    assert "".join(line.split('"')[1::2]) == made.record
    small = keys.read("example.org", "s2", keys.generate("ed25519"))
    assert keys.zone_line(small.name, small.record).endswith('k=ed25519; p=' + small.record[-44:] + '"')


def test_a_key_doesn_t_show_itself():
    assert "private" not in repr(keys.read("example.org", "s", keys.generate("ed25519")))


@pytest.mark.parametrize(("pem", "why"), [
    (b"", "PEM"), (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "PEM"),
    (ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()), "neither"),
])
def test_what_is_no_key(pem, why):
    with pytest.raises(keys.KeyProblem, match=why):
        keys.read("example.org", "s", pem)


def test_a_short_key_is_refused(monkeypatch):
    monkeypatch.setattr(keys, "_LEAST_BITS", 3072)
    with pytest.raises(keys.KeyProblem, match="2048"):
        keys.read("example.org", "s", keys.generate("rsa"))
