"""The addresses of this machine, under which others on its networks may reach it."""

from __future__ import annotations

import ipaddress

__all__ = ["own_addresses"]


def own_addresses(port: int) -> list[str]:
    """Return `host:port` for each address of this machine; its loopback only if it has no other.

    IPv4 comes first: it is what people type. Link-local IPv6 addresses are left out, for they
    mean nothing without the name of an interface of the other machine.
    """
    import ifaddr  # here: it takes a while, and most nodes are never asked

    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if not (address.is_loopback or address.is_link_local or address.is_multicast):
                found.append(address)
    found.sort(key=lambda address: (address.version, address.packed))
    shown = [f"[{each}]" if each.version == 6 else str(each) for each in found] or ["127.0.0.1"]
    return [f"{each}:{port}" for each in dict.fromkeys(shown)]
