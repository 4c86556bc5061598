"""Is this the system's password of that user? PAM answers, in a process of its own that ends with the answer.

Promises: the account stage counts as well (expired, locked); where the client is goes along as PAM_RHOST, for modules
that count failures; PAM's own delay after a wrong password is left out, since `serve.auth` has one and delays
everybody alike. A ticket says for `TICKET_SECONDS` that the password of a user was right for a protocol: signed, so
that nothing is kept.
Fails by: Unproven where PAM can't be asked, which says nothing about the password.
"""
import ctypes
import hmac
import time
from hashlib import sha256

SERVICE = "estafeta"
TICKET_SECONDS = 300
_RHOST, _FAIL_DELAY = 4, 10                 # of security/_pam_types.h
_DELAY = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
_TEMPORARY = frozenset((1, 2, 3, 4, 5, 9, 26, 28))      # PAM's own trouble: modules, memory, authinfo, abort


class Unproven(Exception):
    """PAM had trouble of its own."""


def proven(user: str, password: str, ip: str) -> bool:
    """Blocks. Call it as root, in a process that does nothing else afterwards."""
    try:
        import pamela
    except (ImportError, OSError, AttributeError) as error:     # libpam isn't there
        raise Unproven(f"PAM can't be used: {error}") from error
    answer = pamela.new_simple_password_conv((password,), "utf-8")
    no_delay = _DELAY(lambda status, microseconds, data: None)
    try:
        handle = pamela.pam_start(SERVICE, user, conv_func=answer)
        set_item = ctypes.CDLL("libpam.so.0")["pam_set_item"]
        set_item.argtypes = [pamela.PamHandle, ctypes.c_int, ctypes.c_void_p]
        set_item(handle, _FAIL_DELAY, ctypes.cast(no_delay, ctypes.c_void_p))
        if ip:
            pamela.PAM_SET_ITEM(handle, _RHOST, ip.encode("ascii", "replace"))
        status = pamela.PAM_AUTHENTICATE(handle, 0) or pamela.PAM_ACCT_MGMT(handle, 0)
        pamela.PAM_END(handle, status)
    except pamela.PAMError as error:
        raise Unproven(str(error)) from error
    if status in _TEMPORARY:
        raise Unproven(f"PAM error {status}: see /etc/pam.d/{SERVICE}")
    return bool(status == 0)


def ticket(secret: bytes, user: str, protocol: str, now: float | None = None) -> str:
    """For somebody whose password was right just now."""
    until = int(time.monotonic() if now is None else now) + TICKET_SECONDS
    return f"{until}.{_mac(secret, user, protocol, until)}"


def good(given: str, secret: bytes, user: str, protocol: str, now: float | None = None) -> bool:
    """Is this a ticket of ours that still counts?"""
    until, _, mac = given.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 16):
        return False
    right = hmac.compare_digest(mac.encode(), _mac(secret, user, protocol, int(until)).encode())
    return right and (time.monotonic() if now is None else now) < int(until)


def _mac(secret: bytes, user: str, protocol: str, until: int) -> str:
    return hmac.new(secret, f"{until}\0{protocol}\0{user}".encode(), sha256).hexdigest()
