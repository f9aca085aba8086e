"""Says everything that can be said by mDNS, 200 times a second: `mdns_flood.py ADDRESS SECONDS ID`.

Machines that do not exist, the machine ID in wrong places, goodbyes for it, names without end and
bytes that are no packet. It is sent from the interface with ADDRESS.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from random import Random

from zeroconf import DNSAddress, DNSOutgoing, DNSPointer, DNSService, DNSText

GROUP = ("224.0.0.251", 5353)
SERVICE = "_loopsy._tcp.local."
RATE = 200
RESPONSE, IN, A, PTR, TXT, SRV = 0x8400, 1, 1, 12, 16, 33


def announcement(peer: str, address: str, port: int, ttl: int) -> bytes:
    """Return a packet that announces a machine."""
    name, host = f"{peer}.{SERVICE}", f"loopsy-{peer[:16]}.local."
    out = DNSOutgoing(RESPONSE)
    out.add_answer_at_time(DNSPointer(SERVICE, PTR, IN, ttl, name), 0)
    out.add_answer_at_time(DNSService(name, SRV, IN, ttl, 0, 0, port, host), 0)
    out.add_answer_at_time(DNSText(name, TXT, IN, ttl, b"\x08name=\xff\xfe\x1b"), 0)
    out.add_answer_at_time(DNSAddress(host, A, IN, ttl, socket.inet_aton(address)), 0)
    return out.packets()[0]


def main(address: str, seconds: float, peer: str) -> None:
    """Flood the network for so long."""
    random = Random(7)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    ends = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends:
        count += 1
        made_up = "".join(random.choices("abcdefghijklmnopqrstuvwxyz234567", k=52))
        wrong = f"10.77.0.{random.randrange(100, 250)}"
        sock.sendto(
            (
                announcement(made_up, wrong, 19533, 4500),
                announcement(peer, wrong, random.randrange(1, 65_536), 120),
                announcement(peer, wrong, 1, 0),
                announcement(made_up[:50] + "..", "127.0.0.1", 0, 2**31 - 1),
                os.urandom(random.randrange(1, 1400)),
                b"\0\0\x84\0\0\0\xff\xff\0\0\0\0" + b"\xc0\x0c" * 600,
            )[count % 6],
            GROUP,
        )
        time.sleep(max(0.0, ends - seconds + count / RATE - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
