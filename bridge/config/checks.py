"""What several sections ask of their values. Each check yields a Problem for what it finds wrong, else nothing."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from bridge.config.define import Problem

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def at_least(section: Any, names: Sequence[str], least: int = 1) -> Iterator[Problem]:
    """None of these numbers may be smaller."""
    for name in names:
        if getattr(section, name) < least:
            yield Problem(name, f"must be at least {least}", f"debe ser al menos {least}")


def not_networks(name: str, texts: Sequence[str]) -> Iterator[Problem]:
    """Each text must be a network."""
    for text in texts:
        if as_network(text) is None:
            yield Problem(
                name,
                f'{text!r} is no network; write for instance "192.0.2.0/24"',
                f'{text!r} no es una red; escriba por ejemplo "192.0.2.0/24"',
            )


def not_addresses(name: str, texts: Sequence[str]) -> Iterator[Problem]:
    """Each text must be an IP address."""
    for text in texts:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            yield Problem(
                name,
                f'{text!r} is no IP address; write for instance "192.0.2.1"',
                f'{text!r} no es una dirección IP; escriba por ejemplo "192.0.2.1"',
            )


def plain_passwords(name: str, texts: Sequence[str]) -> Iterator[Problem]:
    """Networks from which passwords may come without TLS: none of them half the world."""
    yield from not_networks(name, texts)
    for network in map(as_network, texts):
        if network is None or network.is_loopback:
            continue
        if network.prefixlen < 8:
            english, spanish = "the internet readable by anybody on the way", "Internet a la vista de cualquiera"
        else:
            english, spanish = f"{network} readable by whoever is on it", f"{network} a la vista de quien esté en ella"
        yield Problem(
            name, f"passwords would cross {english}", f"las contraseñas cruzarían {spanish}", fatal=False
        )


def as_network(text: str) -> Network | None:
    """The network that a setting names; None where it names none."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
