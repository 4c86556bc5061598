"""What an article is made of: dates, names, alternatives, attachments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listmgr.archive import article
from listmgr.archive.article import Content, File

LINE = b"From ann@example.org Tue Nov 14 22:13:20 2023\n"
ARRIVED = 1_700_000_000


def facts(header: bytes, prefix: str = "[Test]") -> article.Facts:
    entry = LINE + header + b"\nbody\n\n"
    return article.facts(entry, article.digest_of(entry), prefix, 5)


def content(header: bytes, body: bytes) -> Content:
    return article.content(LINE + header + b"\n" + body + b"\n")


@pytest.mark.parametrize(
    ("date", "sent"),
    [
        (b"Tue, 14 Nov 2023 20:13:20 +0000", ARRIVED - 7200),
        (b"", ARRIVED),
        (b"nonsense", ARRIVED),
        (b"Tue, 14 Nov 1990 20:13:20 +0000", ARRIVED),
        (b"Fri, 31 Dec 99999 23:59:59 +0000", ARRIVED),
        (b"Tue, 14 Nov 2033 20:13:20 +0000", ARRIVED),
        (b"Tue, 14 Nov 2023 20:13:20 +999999999", ARRIVED),
    ],
)
def test_dates_that_can_not_be_are_those_of_the_arrival(date: bytes, sent: int) -> None:
    """sec-M16."""
    assert facts(b"Date: " + date + b"\n").sent == sent


def test_without_any_date_the_fallback_counts() -> None:
    entry = b"Subject: x\n\nbody\n\n"
    assert article.facts(entry, article.digest_of(entry), "", 5).sent == 5


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"Ann <ann@example.org>", "Ann"),
        (b"ann@example.org", "ann at example.org"),
        (b"", ""),
        (b'"ann@example.org" <ann@example.org>', "ann at example.org"),
        (b"=?utf-8?q?=C3=B1?= <n@example.org>", "ñ"),
    ],
)
def test_addresses_are_masked(value: bytes, shown: str) -> None:
    """A16."""
    assert facts(b"From: " + value + b"\n").author == shown


def test_subjects() -> None:
    assert facts(b"Subject: Re: [Test] hello\n").subject == "Re: hello"
    assert facts(b"Subject: Re: [Test] hello\n").base == facts(b"Subject: hello\n").base
    assert facts(b"Subject: " + b"x" * 5000 + b"\n").subject == "x" * 300


def test_ids_are_bounded() -> None:
    """sec-M17, sec-M18."""
    found = facts(
        b"Message-ID: <"
        + b"a" * 10_000
        + b"@x>\nReferences: "
        + b"\n ".join([b"<%d@x>" % n for n in range(5000)])
        + b"\n"
    )
    assert len(found.msgid) <= 998
    assert found.refs == tuple(f"<{n}@x>" for n in range(4950, 5000))
    assert facts(b"Message-ID: <../../../etc/passwd>\n").folder.startswith("20231114/")
    assert len(facts(b"Message-ID: \n").folder) == len("20231114/01234567")


ALTERNATIVE = (
    b"--b\nContent-Type: text/plain; charset=utf-8\n\nhol\xc3\xa1\n"
    b"--b\nContent-Type: text/html\n\n<p>hol\xc3\xa1<script>x</script>\n--b--\n"
)


def test_html_beside_a_text_is_left_out() -> None:
    found = content(b"Content-Type: multipart/alternative; boundary=b\n", ALTERNATIVE)
    assert found.pieces == ("holá",)


def test_html_alone_becomes_words() -> None:
    found = content(b"Content-Type: text/html\n", b"<p>hello <b>there</b><script>alert(1)</script>")
    assert found.pieces == ("hello there",)


def test_attachments() -> None:
    """A05: name, size and kind; two of one name are two files."""
    part = b'--b\nContent-Type: application/pdf; name="a.pdf"\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n'
    found = content(b"Content-Type: multipart/mixed; boundary=b\n", b"--b\n\ntext\n" + part + part + b"--b--\n")
    assert found.pieces[0] == "text"
    assert found.files == (
        File("a.pdf", b"hello", "a.pdf", "application/pdf"),
        File("a-2.pdf", b"hello", "a.pdf", "application/pdf"),
    )


def test_forwarded_messages_are_shown() -> None:
    found = content(
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"--b\nContent-Type: message/rfc822\n\nFrom: x@example.org\nSubject: inside\n\nthe inner text\n--b--\n",
    )
    text = "".join(piece for piece in found.pieces if isinstance(piece, str))
    assert "Subject: inside" in text
    assert "the inner text" in text


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd.bin"),
        ("c:\\x\\y.PNG", "y.png"),
        ("evil.html", "evil_html.bin"),
        ("x.svg", "x_svg.bin"),
        ("shell.php.jpg", "shell_php.jpg"),
        (".htaccess", "htaccess.bin"),
        ("", "attachment.bin"),
        ("...", "attachment.bin"),
        ("ñandú.txt", "nandu.txt"),
        ("a\x00b.txt", "a_b.txt"),
        ("index.html", "index_html.bin"),
        ("a b.tar.gz", "a_b_tar.gz"),
        ("-rf", "rf.bin"),
        ("x" * 300 + ".pdf", "x" * 76 + ".pdf"),
    ],
)
def test_names_of_attachments(title: str, name: str) -> None:
    """sec-W02, sec-M17."""
    assert article.safe_name(title, set()) == name


@given(st.text(max_size=60))
def test_every_name_is_safe(title: str) -> None:
    name = article.safe_name(title, {"attachment.bin"})
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert name[0] not in ".-"
    assert name.count(".") == 1
    assert name != "attachment.bin"


def test_long_texts_are_cut() -> None:
    found = content(b"", b"x" * (article.MAX_TEXT + 10))
    assert found.cut
    assert len(found.pieces[0]) == article.MAX_TEXT


@given(st.binary(max_size=500))
def test_anything_can_be_read(junk: bytes) -> None:
    article.content(LINE + junk)
    article.content(LINE + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + junk)
    article.facts(junk, "0" * 64, "[x]", 0)
