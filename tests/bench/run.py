"""`make bench`: workload drivers against the appliance and the peers, interleaved, cell by cell, as ratios.

The drivers and the peers' set-ups are not part of this tree: `--drivers DIR` names the folder that has them
(`w1_smtp_local.py` ... and `peers/`). Everything is kept below `--lab DIR`. Prints each driver's own JSON line and, at
the end, a table: figure of ours, figure of the peer, ratio.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

# workload -> (driver, arguments, our target, peer's target, figure, larger is better)
CELLS: dict[str, tuple[str, list[str], str, str]] = {
    "w1-2k-1": ("w1_smtp_local.py", ["--only", "2048x1", "--n", "1500"], "estafeta", "postfix-virtual"),
    "w1-2k-20": ("w1_smtp_local.py", ["--only", "2048x20", "--n", "2000"], "estafeta", "postfix-virtual"),
    "w1-20k-20": ("w1_smtp_local.py", ["--only", "20480x20", "--n", "2000"], "estafeta", "postfix-virtual"),
    "w1-rcpt50": ("w1_smtp_local.py", ["--only", "rcpt50"], "estafeta", "postfix-virtual"),
    "w2-2k-20": ("w2_relay.py", ["--only", "2048x20", "--n", "2000"], "estafeta", "postfix-virtual"),
    "w3-read": ("w3_imap.py", ["--part", "read"], "estafeta", "dovecot"),
    "w3-write": ("w3_imap.py", ["--part", "write"], "estafeta", "dovecot"),
    "w3-login": ("w3_imap.py", ["--part", "login"], "estafeta", "dovecot"),
    "w3-idle": ("w3_imap.py", ["--part", "idle"], "estafeta", "dovecot"),
    "w3-mem": ("w3_imap.py", ["--part", "mem"], "estafeta", "dovecot"),
    "w4": ("w4_pop3.py", [], "estafeta", "dovecot"),
    "w5-imap": ("w5_fetch.py", ["--n", "2000"], "estafeta-fetch-imap", "fetchmail-imap-lmtp"),
    "w5-pop3": ("w5_fetch.py", ["--n", "2000"], "estafeta-fetch-pop3", "getmail-pop3"),
    "w6-1000": ("w6_list.py", ["--only", "plain1000"], "estafeta", "mailman3-sink"),
    "w7": ("w7_archive.py", [], "estafeta-archive", "mhonarc"),
}


def measure(
    drivers: Path, lab: Path, driver: str, words: list[str], target: str, runs: int
) -> dict[str, object] | None:
    """The last JSON line that a driver printed; None (and its words on standard error) where it failed."""
    path = lab / "targets" / f"{target}.json"
    if not path.exists():
        print(f"no target {path}; left out", file=sys.stderr)
        return None
    done = subprocess.run(
        [sys.executable, str(drivers / driver), str(path), *words, "--runs", str(runs)],
        capture_output=True, text=True, cwd=drivers, env={**os.environ, "PEERLAB": str(lab)},
    )  # fmt: skip
    print(done.stdout, end="", flush=True)
    if done.returncode:
        print(f"{driver} {target}: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {key: value for line in lines for key, value in line.items()} if lines else None


def middle(value: object) -> float | None:
    """The median of a driver's [median, min, max], or a plain number."""
    if isinstance(value, list) and value and isinstance(value[0], int | float):
        return float(value[0])
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def compare(name: str, ours: dict[str, object], theirs: dict[str, object]) -> None:
    for key, value in ours.items():
        mine, other = middle(value), middle(theirs.get(key))
        if mine is None or other is None or key in ("n", "per_conn", "noise_cpus", "posts", "conns", "messages"):
            continue
        ratio = f"{mine / other:8.2f}" if other else "       -"
        print(f"{name:10} {key:36} {mine:12.2f} {other:12.2f} {ratio}")


def main() -> int:
    arg = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arg.add_argument("--drivers", type=Path, required=True, help="folder with the workload drivers")
    arg.add_argument("--lab", type=Path, required=True, help="folder of the targets (make bench-up LAB=DIR)")
    arg.add_argument("--only", default="", help="cells, separated by commas")
    arg.add_argument("--rounds", type=int, default=1, help="how often the pair is measured")
    arg.add_argument("--runs", type=int, default=3)
    given = arg.parse_args()
    drivers, lab = given.drivers.resolve(), given.lab.resolve()
    table = []
    for name, (driver, words, ours, theirs) in CELLS.items():
        if given.only and name not in given.only.split(","):
            continue
        for _ in range(given.rounds):
            pair = [measure(drivers, lab, driver, words, target, given.runs) for target in (ours, theirs)]
            if pair[0] is not None and pair[1] is not None:
                table.append((name, pair[0], pair[1]))
    print(f"\n{'cell':10} {'figure':36} {'ours':>12} {'peer':>12} {'ours/peer':>8}")
    for name, mine, other in table:
        compare(name, mine, other)
    return 0


if __name__ == "__main__":
    sys.exit(main())
