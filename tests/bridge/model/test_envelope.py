"""The envelope's JSON form is the first line of a spool file: it must survive anything and stay readable."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.model import envelope
from bridge.model.envelope import Envelope, Origin, Recipient

texts = st.text(max_size=50)
envelopes = st.builds(
    Envelope,
    id=texts,
    key=texts,
    sender=texts,
    origin=st.builds(Origin, door=texts, client=texts, helo=texts),
    recipients=st.lists(st.builds(Recipient, texts, texts, texts), max_size=5).map(tuple),
    received_at=st.floats(0, 4e9),
    parent=texts,
)


@given(envelopes)
def test_what_is_written_is_read(one: Envelope) -> None:
    line = one.to_json()
    assert b"\n" not in line
    assert line.isascii()
    assert envelope.from_json(line) == one


def test_a_newer_version_with_more_fields_is_still_read() -> None:
    line = Envelope("I", "I", "", (), Origin("smtp"), 1.0).to_json().replace(b'"version":1', b'"version":2,"new":[1]')
    assert envelope.from_json(line).version == 2
