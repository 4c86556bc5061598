"""Connections whose other end has silently gone are found by the kernel (P27).

`watch_over` on a listening socket holds for all that it accepts. A peer that doesn't answer any more is dropped after
`IDLE` + `UNANSWERED` seconds without traffic, and `UNANSWERED` seconds after we sent it something: below the half hour
that IMAP leaves a client in peace. A program that is only stopped still answers: that is for the protocols' deadlines.
Fails by: nothing; a socket that has no such options (unix) is left as it is.
"""
import socket
from contextlib import suppress

IDLE = 600              # seconds without traffic before the kernel asks
INTERVAL = 60           # seconds between two questions
UNANSWERED = 600        # seconds without an answer, to a question or to data


def watch_over(one: socket.socket) -> None:
    """From now on this connection, or those that it accepts, don't outlive their peers for long."""
    if one.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, max(1, UNANSWERED // INTERVAL))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED * 1000)
