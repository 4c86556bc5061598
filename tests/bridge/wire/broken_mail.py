"""Broken and hostile messages, generated; and a strict reader of IMAP lists that shares no code with the product."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def multipart(boundary: bytes, subtype: bytes = b"mixed") -> bytes:
    return b"Content-Type: multipart/" + subtype + b'; boundary="' + boundary + b'"\n\n'


def nested(levels: int) -> bytes:
    return b"".join(multipart(b"b%d" % n) + b"--b%d\n" % n for n in range(levels)) + b"\nin the middle\n"


BROKEN: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one line end": lambda: b"\n",
    "one CRLF": lambda: b"\r\n",
    "one CR": lambda: b"\r",
    "no header": lambda: b"\nonly a body\n",
    "no body": lambda: b"Subject: x\n",
    "no line end": lambda: b"Subject: x",
    "no colon": lambda: b"this is no header\nSubject: yes\n\nbody",
    "From_ line": lambda: b"From ann@example.org Mon Jan  2 10:00:00 2023\nSubject: x\n\nbody\n",
    "old Mac line ends": lambda: b"Subject: x\rTo: y@example.org\r\rbody\r",
    "NUL everywhere": lambda: b'Sub\0ject: a\0b\nFrom: "\0" <\0@\0>\nContent-Type: text/pl\0ain; a="\0"\n\n\0\n',
    "8-bit everywhere": lambda: (
        b'Subject: \xe1rbol\nFrom: "\xf1" <\xf1@\xe1.example>\nContent-Type: text/plain; name="\xff"\n\n\xff\n'
    ),
    "quotes and backslashes": lambda: (
        b'Subject: a "b" \\ c\nFrom: "a\\"b\\\\" <"q\\"x"@example.org>\nContent-ID: <"\\>\n'
        b'Content-Type: text/plain; name="a\\"b"\nContent-Disposition: attachment; filename="\\\\"\n\nx\n'
    ),
    "bare CR in headers": lambda: b'Subject: a\rBcc: evil@example.org\nFrom: "a\r\n b" <x@example.org>\n\nx\n',
    "empty type": lambda: b"Content-Type:\n\nx\n",
    "type without subtype": lambda: b"Content-Type: text\n\nx\n",
    "type with a quote": lambda: b'Content-Type: te"xt/plain\n\nx\n',
    "two types": lambda: b"Content-Type: text/html\nContent-Type: text/plain\n\nx\n",
    "unclosed quote": lambda: b'Content-Type: text/plain; name="abc\n\nx\n',
    "comment in type": lambda: b'Content-Type: text/plain (what (is) this); charset=utf-8 (yes); name="(no)"\n\nx\n',
    "strange encoding": lambda: b'Content-Transfer-Encoding: "ba\\"se64"\n\nx\n',
    "empty encoding": lambda: b"Content-Transfer-Encoding:\n\nx\n",
    "multipart without boundary": lambda: b"Content-Type: multipart/mixed\n\n--x\n\na\n--x--\n",
    "empty boundary": lambda: b'Content-Type: multipart/mixed; boundary=""\n\n--\n\na\n----\n',
    "long boundary": lambda: multipart(b"b" * 3000) + b"--" + b"b" * 3000 + b"\n\na\n",
    "boundary that never comes": lambda: multipart(b"b") + b"text\n",
    "only a close delimiter": lambda: multipart(b"b") + b"--b--\n",
    "open delimiter at the end": lambda: multipart(b"b") + b"--b",
    "no close delimiter": lambda: multipart(b"b") + b"--b\n\na\n--b\n\nc\n",
    "adjacent delimiters": lambda: multipart(b"b") + b"--b\n--b\n--b--\n",
    "delimiter in the part header": lambda: multipart(b"b") + b"--b\nContent-Type: text/html\n--b--\n",
    "same boundary inside": lambda: multipart(b"b") + b"--b\n" + multipart(b"b") + b"--b\n\nx\n--b--\n",
    "boundary is a prefix": lambda: (
        multipart(b"b") + b"--b\n" + multipart(b"bb") + b"--bb\n\nx\n--bb--\n--b\n\ny\n--b--\n"
    ),
    "outer closed before inner": lambda: multipart(b"a") + b"--a\n" + multipart(b"b") + b"--b\n\nx\n--a--\n",
    "encoded message": lambda: (
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKeA==\n"
    ),
    "empty message inside": lambda: multipart(b"b") + b"--b\nContent-Type: message/rfc822\n\n--b--\n",
    "message in message in message": lambda: b"Content-Type: message/rfc822\n\n" * 3 + b"Subject: in\n\nx\n",
    "digest": lambda: multipart(b"b", b"digest") + b"--b\n\nSubject: one\n\nx\n--b\n\nSubject: two\n\ny\n--b--\n",
    "groups": lambda: (
        b'From: Friends: a@example.org, "B" <b@example.org>;\nTo: undisclosed-recipients:;\nCc: a:b:c:;;;\n\nx\n'
    ),
    "routes": lambda: b"From: <@a.example,@b.example:c@d.example>\nTo: <@:>\nCc: x <@@@>\n\nx\n",
    "address rubbish": lambda: b'From: <\nTo: >\nCc: "\nBcc: (\nSender: @\nReply-To: ,,,;;;:::\n\nx\n',
    "bad continuation": lambda: b"Content-Type: text/plain; a*1=b; a*0*=c%2; a*x=d; *0=e; a**=f\n\nx\n",
    "language list": lambda: b'Content-Language: es, en, "x\ny"\nContent-Location: http://x/\n "y"\n\nx\n',
    "long strings": lambda: b"Subject: " + b"x" * 5000 + b"\nMessage-ID: " + b"<" * 3000 + b"\n\nx\n",
    "too deep": lambda: nested(200),
    "too deep in messages": lambda: b"Content-Type: message/rfc822\n\n" * 200,
    "header without end": lambda: b"X: y\n" * 70_000,
    "all CRLF": lambda: (multipart(b"b") + b"--b\n\none\n--b\nA: b\n\ntwo\n--b--\nepilogue").replace(b"\n", b"\r\n"),
    "mixed line ends": lambda: multipart(b"b") + b"--b\r\n\none\r\ntwo\n\r\n--b\n\r\n\r\n--b--\r\n",
}

Atom = bytes | None
Tree = "list[Tree] | str | bytes | int | None"


class NotImap(Exception):
    """The bytes are not one valid IMAP list."""


def parse_list(raw: bytes) -> object:
    """One IMAP value (list, string, literal, number, NIL) that takes up all of `raw`; strict, not recursive."""
    stack: list[list[object]] = [[]]
    at = 0
    need_space = False
    while at < len(raw):
        char = raw[at : at + 1]
        if char == b" ":
            if not need_space:
                raise NotImap(f"blank at {at}")
            need_space = False
            at += 1
            if raw[at : at + 1] in (b" ", b")", b""):
                raise NotImap(f"nothing after blank at {at}")
            continue
        if char == b")":
            if len(stack) == 1:
                raise NotImap("too many )")
            done = stack.pop()
            stack[-1].append(done)
            need_space = True
            at += 1
            continue
        # Lists of addresses and of body parts have no blank between their elements: "(" may follow ")".
        if need_space and not (char == b"(" and raw[at - 1 : at] == b")"):
            raise NotImap(f"no blank at {at}")
        if char == b"(":
            stack.append([])
            need_space = False
            at += 1
            continue
        value, at = _atom(raw, at)
        stack[-1].append(value)
        need_space = True
    if len(stack) != 1 or len(stack[0]) != 1:
        raise NotImap("not one value")
    return stack[0][0]


def _atom(raw: bytes, at: int) -> tuple[object, int]:
    char = raw[at : at + 1]
    if char == b'"':
        out = bytearray()
        at += 1
        while True:
            if at >= len(raw):
                raise NotImap("open quote")
            byte = raw[at]
            if byte == 34:
                return bytes(out), at + 1
            if byte == 92:
                at += 1
                if raw[at : at + 1] not in (b'"', b"\\"):
                    raise NotImap("bad escape")
                byte = raw[at]
            if byte in (0, 10, 13) or byte > 127:
                raise NotImap(f"byte {byte} in a quoted string")
            out.append(byte)
            at += 1
    if char == b"{":
        end = raw.find(b"}\r\n", at)
        if end < 0 or not raw[at + 1 : end].isdigit():
            raise NotImap("bad literal")
        size = int(raw[at + 1 : end])
        value = raw[end + 3 : end + 3 + size]
        if len(value) != size or b"\0" in value:
            raise NotImap("bad literal bytes")
        return value, end + 3 + size
    end = at
    while end < len(raw) and raw[end] not in b" ()":
        end += 1
    word = raw[at:end]
    if word == b"NIL":
        return None, end
    if word.isdigit():
        return int(word), end
    raise NotImap(f"atom {word!r} at {at}")


def check_envelope(value: object) -> None:
    """RFC 9051 `envelope`."""
    assert isinstance(value, list)
    assert len(value) == 10
    for number in (0, 1, 8, 9):
        assert value[number] is None or isinstance(value[number], bytes)
    for people in value[2:8]:
        if people is None:
            continue
        assert people
        for one in people:
            assert len(one) == 4
            assert all(item is None or isinstance(item, bytes) for item in one)


def check_body(value: object, *, extended: bool) -> int:
    """RFC 9051 `body`; answers the number of leaves."""
    count = 0
    for node in _bodies(value, extended):
        count += node
    return count


def _bodies(value: object, extended: bool) -> Iterator[int]:
    todo = [value]
    while todo:
        body = todo.pop()
        assert isinstance(body, list)
        if isinstance(body[0], list):
            children = [item for item in body if isinstance(item, list)]
            first = next(n for n, item in enumerate(body) if not isinstance(item, list))
            children = body[:first]
            rest = body[first:]
            assert isinstance(rest[0], bytes)
            if extended:
                assert len(rest) == 5
                _check_params(rest[1])
                _check_extension(rest[2:])
            else:
                assert len(rest) == 1
            todo.extend(children)
            yield 0
            continue
        kind, subtype, params, content_id, description, encoding, octets = body[:7]
        assert isinstance(kind, bytes)
        assert isinstance(subtype, bytes)
        assert isinstance(encoding, bytes)
        assert kind != b"multipart"
        assert isinstance(octets, int)
        _check_params(params)
        for item in (content_id, description):
            assert item is None or isinstance(item, bytes)
        rest = body[7:]
        if kind == b"text":
            assert isinstance(rest.pop(0), int)
        elif (kind, subtype) in ((b"message", b"rfc822"), (b"message", b"global")):
            check_envelope(rest.pop(0))
            todo.append(rest.pop(0))
            assert isinstance(rest.pop(0), int)
        if extended:
            assert len(rest) == 4
            assert rest[0] is None or isinstance(rest[0], bytes)
            _check_extension(rest[1:])
        else:
            assert rest == []
        yield 1


def _check_params(params: object) -> None:
    if params is not None:
        assert isinstance(params, list)
        assert params
        assert len(params) % 2 == 0
        assert all(isinstance(item, bytes) for item in params)


def _check_extension(rest: list[object]) -> None:
    disposition, language, location = rest
    if disposition is not None:
        assert isinstance(disposition, list)
        assert isinstance(disposition[0], bytes)
        _check_params(disposition[1])
        assert len(disposition) == 2
    if isinstance(language, list):
        assert all(isinstance(item, bytes) for item in language)
    else:
        assert language is None or isinstance(language, bytes)
    assert location is None or isinstance(location, bytes)
