"""Maildir++ on disk: folder names and directories, file names, flags in names, listings.

Promises: a folder name leads to exactly one directory below the Maildir, never through `.`, `..` or a link, and is
opened by descriptor (sec-I04, sec-D06, sec-D07); names that we make are unique on this machine and over time; a
listing is two system calls per few hundred messages, without a stat. Knows nothing of UIDs and the index.
Fails by: `MailError` for names that can't be, OSError for the disk.
Formats: Maildir (cr.yp.to), Maildir++ (`.A.B`, modified UTF-7), flags `:2,DFRST`, keywords `a` to `z`, sizes `,S=,W=`.
"""
import errno
import itertools
import os
import re
import secrets
import socket
import time
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.store.mail import ANSWERED, DELETED, DRAFT, FLAGGED, KEYWORD_SHIFT, SEEN, MailError
from bridge.wire.imap import utf7

MAX_DEPTH = 20          # levels of a folder name (sec-I04)
MAX_DIRECTORY = 255     # bytes of a directory name: what file systems take
SUBFOLDERS = ("new", "cur", "tmp")
MARK = ":2,"
LETTERS = 26            # keywords that have a letter in file names

_FLAGS = {"D": DRAFT, "F": FLAGGED, "R": ANSWERED, "S": SEEN, "T": DELETED}
_SIZES = re.compile(r",S=(\d{1,18})\b")
_WIRE = re.compile(r",W=(\d{1,18})\b")
_SECONDS = re.compile(r"(\d{1,11})\.")
_DOT = "&AC4-"          # a dot inside a level: no encoder of modified UTF-7 writes this
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_counter = itertools.count(secrets.randbelow(1000))
_host = socket.gethostname().partition(".")[0].replace("/", "\\057").replace(":", "\\072").replace(",", "\\054")

MAKE = Failpoint("maildir.make", "making the directories of a folder")
SHOW = Failpoint("maildir.show", "giving a new folder its name")


# ---- folder names

def check_name(name: str) -> str:
    """The name in its one spelling; MailError where no folder can have it."""
    name = unicodedata.normalize("NFC", name).removesuffix("/")
    levels = name.split("/")
    if levels[0].upper() == "INBOX":
        levels[0] = "INBOX"
    if _CONTROL.search(name):
        raise MailError("Mailbox names can't have control characters", "CANNOT")
    if any(level in ("", ".", "..") or level.strip() != level for level in levels):
        raise MailError("Mailbox names can't have empty levels, nor . or ..", "CANNOT")
    if len(levels) > MAX_DEPTH or len(os.fsencode(_encode(levels))) > MAX_DIRECTORY:
        raise MailError("Mailbox name is too long or too deep", "LIMIT")
    return "/".join(levels)


def directory_of(name: str) -> str:
    """The directory of a checked name, relative to the Maildir."""
    return "." if name == "INBOX" else _encode(name.split("/"))


def _encode(levels: list[str]) -> str:
    return "." + ".".join(
        _DOT.join(utf7.encode(piece).decode("ascii") for piece in level.split(".")) for level in levels
    )


def name_of(directory: str) -> str:
    """The folder name that a directory `.A.B` shows; what isn't modified UTF-7 is shown as it is."""
    levels = directory[1:].split(".")
    try:
        return "/".join(".".join(utf7.decode(os.fsencode(piece)) for piece in level.split(_DOT)) for level in levels)
    except ValueError:
        return "/".join(levels).encode("utf-8", "replace").decode()


def directories(root: int) -> dict[str, str]:
    """All folders of a Maildir: name -> directory. Links and what has no `cur` are no folders."""
    found = {"INBOX": "."}
    foreign: dict[str, str] = {}
    with os.scandir(root) as entries:
        for entry in entries:
            directory = entry.name
            if not directory.startswith(".") or directory in (".", "..") or ".." in directory:
                continue
            if entry.is_dir(follow_symlinks=False) and is_folder(root, directory):
                name = name_of(directory)
                try:
                    strict = check_name(name) == name and directory_of(name) == directory
                except MailError:
                    continue
                (found if strict else foreign)[name] = directory
    return foreign | found


def is_folder(root: int, directory: str) -> bool:
    try:
        os.stat(directory + "/cur", dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


# ---- an opened folder

@dataclass(slots=True)
class Dirs:
    """A folder's directories, opened without following links. `identity` tells whether the path still leads here."""

    folder: int
    new: int
    cur: int
    tmp: int
    identity: tuple[int, int]

    def alive(self) -> bool:
        """Whether new, cur and tmp still have names: a folder may be emptied by force and made anew."""
        return all(os.fstat(descriptor).st_nlink for descriptor in (self.new, self.cur, self.tmp))

    def times(self) -> tuple[int, int]:
        """When new and cur were changed last, ns."""
        return os.fstat(self.new).st_mtime_ns, os.fstat(self.cur).st_mtime_ns

    def close(self) -> None:
        for descriptor in (self.folder, self.new, self.cur, self.tmp):
            os.close(descriptor)


def open_dirs(root: int, directory: str, *, make: bool = False) -> Dirs:
    """Open a folder below the Maildir. OSError if it is a link, has no `cur`, or isn't there; missing `new` and `tmp`
    are made, and `cur` where `make` says so (else a folder that is just being removed would come back)."""
    opened: list[int] = []
    made = False
    try:
        opened.append(files.open_folder(directory, folder=root))
        for sub in ("cur", "new", "tmp"):
            try:
                opened.append(files.open_folder(sub, folder=opened[0]))
            except FileNotFoundError:
                if sub == "cur" and not make:
                    raise
                made = files.make_folder(sub, MAKE, folder=opened[0]) or made
                opened.append(files.open_folder(sub, folder=opened[0]))
        if made:
            files.sync_folder(opened[0], MAKE)
        about = os.fstat(opened[0])
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    folder, cur, new, tmp = opened
    return Dirs(folder, new, cur, tmp, (about.st_dev, about.st_ino))


def make_folder(root: int, directory: str) -> bool:
    """A new folder, complete before it shows its name; False if it exists."""
    if is_folder(root, directory):
        return False
    draft = f"tmp/{unique()}"
    os.makedirs(f"/proc/self/fd/{root}/tmp", mode=0o700, exist_ok=True)
    files.make_folder(draft, MAKE, folder=root)
    for sub in SUBFOLDERS:
        files.make_folder(f"{draft}/{sub}", MAKE, folder=root)
    os.close(files.create(f"{draft}/maildirfolder", MAKE, folder=root))
    inside = files.open_folder(draft, folder=root)
    try:
        files.sync_folder(inside, MAKE)     # or a power cut leaves its name, and nothing behind it
    finally:
        os.close(inside)
    try:
        files.rename(draft, directory, SHOW, old_folder=root, new_folder=root)
    except OSError as error:
        remove_tree(root, draft)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        open_dirs(root, directory, make=True).close()      # what a half-done removal left: its missing parts are made
    files.sync_folder(root, SHOW)
    return True


def remove_tree(root: int, directory: str) -> None:
    """Remove a directory with all files in it; links are removed, not followed."""
    folder = files.open_folder(directory, folder=root)
    try:
        for name in os.listdir(folder):
            try:
                os.unlink(name, dir_fd=folder)
            except IsADirectoryError:
                remove_tree(folder, name)
    finally:
        os.close(folder)
    os.rmdir(directory, dir_fd=root)


def prepare_root(path: Path) -> None:
    """The Maildir itself, private to its owner, with its names on the disk; nothing happens where it is there."""
    files.make_path(path, MAKE, mode=0o700)
    if all(os.path.lexists(path / sub) for sub in SUBFOLDERS):
        return
    root = files.open_folder(path)
    try:
        for sub in SUBFOLDERS:
            files.make_folder(sub, MAKE, folder=root)
        files.sync_folder(root, MAKE)
    finally:
        os.close(root)


# ---- file names

def unique() -> str:
    """A name that no file has or ever had, without sizes and flags."""
    now = time.time_ns()
    micros = now // 1000 % 1_000_000
    return f"{now // 1_000_000_000}.M{micros:06d}P{os.getpid()}Q{next(_counter)}R{secrets.token_hex(4)}.{_host}"


def sized(disk: int, wire: int) -> str:
    """A new unique name that carries both sizes."""
    return f"{unique()},S={disk},W={wire}"


def split(filename: str) -> tuple[str, str]:
    """A file name of `cur` as (stem, rest); the rest is ":2,FS" or "" where a program left that out."""
    stem, mark, letters = filename.partition(MARK)
    return stem, mark + letters


def is_sound(filename: str) -> bool:
    """Whether index and uidlist can hold the name as it is."""
    return filename.isprintable() and len(filename) < 250


def sizes_of(stem: str) -> list[str]:
    """The size fields of a name as they are there."""
    return [found[0] for found in (_SIZES.search(stem), _WIRE.search(stem)) if found]


def wire_size(stem: str) -> int:
    """W= of a name, or -1."""
    found = _WIRE.search(stem)
    return int(found[1]) if found else -1


def disk_size(stem: str) -> int:
    """S= of a name, or -1."""
    found = _SIZES.search(stem)
    return int(found[1]) if found else -1


def seconds(stem: str) -> int:
    """The delivery time in a name, or 0."""
    if stem[10:11] == "." and stem[:10].isdecimal():
        return int(stem[:10])
    found = _SECONDS.match(stem)
    return int(found[1]) if found else 0


@lru_cache(maxsize=4096)
def bits_of(info: str, keywords: int) -> int:
    """The flags that ":2,..." says: system flags, and for the k-th small letter keyword k, of `keywords` known ones."""
    bits = 0
    for letter in info[len(MARK):]:
        if "a" <= letter <= "z":
            if ord(letter) - 97 < keywords:
                bits |= 1 << KEYWORD_SHIFT + ord(letter) - 97
        else:
            bits |= _FLAGS.get(letter, 0)
    return bits


@lru_cache(maxsize=4096)
def info_of(bits: int, present: str | None, keywords: int) -> str:
    """":2,..." for these flags, letters in ASCII order; what `present` says in letters that we don't know stays."""
    known = min(keywords, LETTERS)
    letters = {letter for letter, bit in _FLAGS.items() if bits & bit}
    letters.update(chr(97 + k) for k in range(known) if bits >> KEYWORD_SHIFT + k & 1)
    for letter in (present or "")[len(MARK):]:
        if letter not in _FLAGS and not "a" <= letter < chr(97 + known):
            letters.add(letter)
    return MARK + "".join(sorted(letters))
