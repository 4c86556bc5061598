"""S68, sec-O15: mail that an alias sends on leaves under an address of ours, and its bounce finds the first sender."""

import re
import smtplib
from pathlib import Path

import pytest

from tests.lab import DOMAIN, running, until
from tests.sink import Sink

pytestmark = pytest.mark.service


def test_forwarded_and_back(tmp_path: Path) -> None:
    aliases = tmp_path / "aliases"
    aliases.write_text("luis: luis@far.example.net\njefe: ana\n")
    with Sink() as sink:
        there = f'= "127.0.0.1:{sink.port}"\n'
        more = f'[mail.transports]\n"far.example.net" {there}"first.example.net" {there}'
        with running(tmp_path / "lab", "ana", more=more) as lab:
            text = lab.config.read_text().replace("aliases = []", f'aliases = ["{aliases}"]')
            lab.config.write_text(text)
            lab.command("reload")
            until(lambda: "generation 1" in lab.log.read_text(), what="the aliases are read")

            def sent(sender: str, to: str) -> None:
                before = sum(sink.copies.values())
                with lab.smtp() as client:
                    client.sendmail(sender, [to], f"From: {sender or 'x@y.example'}\r\nSubject: x\r\n\r\nhola\r\n")
                until(lambda: sum(sink.copies.values()) > before, what=f"{to} is reached")

            sent("eva@first.example.net", f"luis@{DOMAIN}")
            assert re.fullmatch(rf"SRS0=\w{{8}}=\w\w=first\.example\.net=eva@{DOMAIN}", sink.sender)
            ours = sink.sender
            sent(f"ana@{DOMAIN}", f"luis@{DOMAIN}")
            assert sink.sender == f"ana@{DOMAIN}"
            sent("", ours.lower())
            assert ("", "eva@first.example.net") in sink.copies
            assert sink.sender == ""
            with lab.smtp() as client, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail("", [ours.replace("eva", "mara")], "Subject: x\r\n\r\nhola\r\n")
            assert refused.value.recipients[ours.replace("eva", "mara")][0] == 550
            lab.kill()
            lab.start()
            sent("", ours)      # the key outlives a kill -9
