"""Flags and keywords of a folder: names and bits, STORE, and flags into file names.

Promises: a STORE of any number of messages is one transaction and a few statements; only messages that change get a
new modseq (RFC 7162); unknown keywords get the next free bit, up to the limit (sec-I18). File names follow later
(`flush`): the index is the master, and a rename that another program makes meanwhile is a change of its own.
"""
import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from sqlite3 import Connection

from bridge.store import files, maildir
from bridge.store.driver import Place
from bridge.store.failpoints import Failpoint
from bridge.store.home import FREE, FolderRow, Home, current, save
from bridge.store.mail import (
    KEYWORD_LENGTH,
    KEYWORD_LIMIT,
    KEYWORD_SHIFT,
    SYSTEM_FLAGS,
    Folder,
    MailError,
    Ranges,
    Stored,
)
from bridge.store.reconcile import KEYWORD_FILES, KEYWORDS

FLUSH_BATCH = 1000      # files renamed under one hold of the lock

RENAME = Failpoint("flags.rename", "writing flags into a file name")
SHOW = Failpoint("flags.show", "putting a new keyword file in the place of the old one")

_KEYWORD = re.compile(r"[!#$&'+,\-.0-9:;<=>?@A-Z\[^_`a-z|}~/]+")
_BY_NAME = {name.lower(): bit for name, bit in SYSTEM_FLAGS.items()}


@lru_cache(maxsize=8192)
def text_of(flags: int, keywords: tuple[str, ...], recent: bool) -> bytes:
    """Flags as the list that FETCH sends."""
    names = [name for name, bit in SYSTEM_FLAGS.items() if flags & bit]
    names.extend(name for k, name in enumerate(keywords) if flags >> KEYWORD_SHIFT + k & 1)
    if recent:
        names.append("\\Recent")
    return b"(" + " ".join(names).encode("ascii", "replace") + b")"


def bits_of(names: Iterable[str], keywords: Sequence[str]) -> tuple[int, list[str]]:
    """(flags, keywords that the folder doesn't know yet). \\Recent is passed over; names ignore case."""
    bits = 0
    unknown: dict[str, str] = {}
    known = {name.lower(): KEYWORD_SHIFT + k for k, name in enumerate(keywords) if name != FREE}
    for name in names:
        folded = name.lower()
        if folded in _BY_NAME:
            bits |= _BY_NAME[folded]
        elif folded in known:
            bits |= 1 << known[folded]
        elif folded != "\\recent":
            unknown.setdefault(folded, name)
    return bits, list(unknown.values())


def learn(home: Home, db: Connection, row: FolderRow, names: Iterable[str], used: int = 0) -> int:
    """The flags of these names; new keywords are given bits. MailError above the limit; the caller saves the row.
    `used`: flags that the caller is going to give to other messages."""
    known = row.names
    bits, unknown = bits_of(names, known)
    if not unknown:
        return bits
    for name in unknown:
        if name == FREE or len(name) > KEYWORD_LENGTH or not _KEYWORD.fullmatch(name):
            raise MailError(f"Not a possible keyword: {name[:60]}", "CANNOT")
    limit = min(home.settings.keywords, KEYWORD_LIMIT)
    room = limit - len(known)
    if len(unknown) > room:
        known = _collect(db, row, known, bits | used)
        room = known.count(FREE) + limit - len(known)
        if len(unknown) > room:
            raise MailError(f"A mailbox can have {limit} keywords", "LIMIT")
    names_now = list(known)
    for name in unknown:
        if FREE in names_now:
            place = names_now.index(FREE)
            names_now[place] = name
        else:
            place = len(names_now)
            names_now.append(name)
        bits |= 1 << KEYWORD_SHIFT + place
    row.keywords = " ".join(names_now)
    _write_keywords(home, row)
    return bits


def _collect(db: Connection, row: FolderRow, known: tuple[str, ...], used: int) -> tuple[str, ...]:
    """The keywords with FREE for each that no message has any more and that isn't among the flags `used`."""
    for bits, in db.execute("SELECT DISTINCT flags FROM message WHERE folder=?", (row.id,)):
        used |= bits
    return tuple(name if used >> KEYWORD_SHIFT + k & 1 else FREE for k, name in enumerate(known))


def _write_keywords(home: Home, row: FolderRow) -> None:
    """The file that says what the letters in file names mean; before any file gets such a letter."""
    text = "".join(f"{number} {name}\n" for number, name in enumerate(row.names[: maildir.LETTERS]))
    with home.folder_dirs(row.name) as dirs:
        draft = f"{KEYWORD_FILES[0]}.new"
        files.unlink(draft, KEYWORDS, folder=dirs.folder)
        descriptor = files.create(draft, KEYWORDS, folder=dirs.folder)
        try:
            files.write(descriptor, text.encode(), KEYWORDS)
        finally:
            os.close(descriptor)
        files.rename(draft, KEYWORD_FILES[0], SHOW, old_folder=dirs.folder, new_folder=dirs.folder)


def store(
    home: Home, folder: Folder, uids: Ranges, mode: str, names: Sequence[str], unchanged_since: int | None
) -> Stored:
    """STORE: `mode` is "" (replace), "+" or "-"."""
    with home.index.write() as db:
        row = current(db, folder)
        keywords = row.keywords
        if mode == "-":
            bits, _ = bits_of(names, row.names)
        else:
            bits = learn(home, db, row, names)
        modseq = row.highestmodseq + 1
        modified: list[int] = []
        changed = 0
        for low, high in uids:
            if unchanged_since is not None:
                modified.extend(uid for uid, in db.execute(
                    "SELECT uid FROM message WHERE folder=? AND uid BETWEEN ? AND ? AND modseq>? ORDER BY uid",
                    (row.id, low, high, unchanged_since),
                ))
            before = modseq - 1 if unchanged_since is None else unchanged_since
            changed += db.execute(_UPDATE[mode], (bits, modseq, row.id, low, high, before, bits)).rowcount
        if changed:
            row.highestmodseq = modseq
        if changed or row.keywords != keywords:
            save(db, row)
        found: list[tuple[int, int, int]] = []
        for low, high in uids:
            found.extend(db.execute(
                "SELECT uid, flags, modseq FROM message WHERE folder=? AND uid BETWEEN ? AND ? ORDER BY uid",
                (row.id, low, high),
            ))
    if modified:
        failed = set(modified)
        found = [one for one in found if one[0] not in failed]
    return Stored(tuple(found), tuple(modified), row.highestmodseq, changed)


_UPDATE = {
    "+": "UPDATE message SET flags=flags|?1, modseq=?2 WHERE folder=?3 AND uid BETWEEN ?4 AND ?5 AND modseq<=?6"
         " AND flags&?7<>?7",
    "-": "UPDATE message SET flags=flags&~?1, modseq=?2 WHERE folder=?3 AND uid BETWEEN ?4 AND ?5 AND modseq<=?6"
         " AND flags&?7<>0",
    "": "UPDATE message SET flags=?1, modseq=?2 WHERE folder=?3 AND uid BETWEEN ?4 AND ?5 AND modseq<=?6"
        " AND flags<>?7",
}


# ---- into file names

def flush(home: Home, folder: Folder) -> None:
    """Bring file names up to date with the flags, a batch under each hold of the lock; seen mail goes to cur."""
    with home.index.read() as db:
        goal = current(db, folder).highestmodseq
    after: int | None = 0
    while after is not None:
        after = _flush_batch(home, folder, after, goal)


def _flush_batch(home: Home, folder: Folder, after: int, goal: int) -> int | None:
    """The UID to go on after, or None at the end."""
    with home.index.exclusive(), home.folder_dirs(folder.name) as dirs:
        with home.index.read() as db:
            row = current(db, folder)
            rows = db.execute(
                "SELECT uid, name, info, flags FROM message WHERE folder=?1 AND uid>?2 AND (modseq>?3 OR info IS NULL)"
                " AND (info IS NOT NULL OR uid<?4 OR flags<>0) ORDER BY uid LIMIT ?5",
                (row.id, after, row.flushed, row.recent, FLUSH_BATCH),
            ).fetchall()
        known = len(row.names)
        due = []
        for uid, name, info, flags in rows:
            wanted = maildir.info_of(flags, info, known)
            if wanted != info:
                due.append((uid, name, info, wanted))
        quiet = (row.new_time, row.cur_time) == dirs.times()
        done, lost = _rename(dirs, due)
        last = len(rows) < FLUSH_BATCH
        if not done and not lost and not (last and row.flushed < goal):
            return None if last else int(rows[-1][0])
        with home.index.write() as db:
            row = current(db, folder)
            db.executemany(
                "UPDATE message SET info=? WHERE folder=? AND uid=?", [(wanted, row.id, uid) for uid, wanted in done]
            )
            if last:
                row.flushed = max(row.flushed, goal)
            if done or lost:
                # During a pass our own renames are no reason to look; at its end: others may have been busy too.
                row.new_time, row.cur_time = dirs.times() if quiet and not last and not lost else (0, 0)
            save(db, row)
        return None if last else int(rows[-1][0])


def _rename(dirs: Place, due: list[tuple[int, str, str | None, str]]) -> tuple[list[tuple[int, str]], bool]:
    """(what was renamed, whether some file was not where we thought)."""
    done: list[tuple[int, str]] = []
    lost = False
    if not isinstance(dirs, maildir.Dirs):
        noted = set(dirs.note([(name, wanted) for _, name, _, wanted in due])) if due else set()
        return [(uid, wanted) for uid, name, _, wanted in due if (name, wanted) in noted], False
    for uid, name, info, wanted in due:
        old, source = (name, dirs.new) if info is None else (name + info, dirs.cur)
        try:
            files.rename(old, name + wanted, RENAME, old_folder=source, new_folder=dirs.cur)
        except FileNotFoundError:
            lost = True
            continue
        done.append((uid, wanted))
    return done, lost

