"""Where a client is, and how often it may do something from there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_relay.address import TooMany, Turnstile, client_address
from loopsy_relay.config import Rate


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", "198.51.100.7,  2001:DB8::1 ", "2001:db8::1"),
        ("192.0.2.1", "198.51.100.7, unknown", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7, 203.0.113.9:1234", "192.0.2.1"),
        ("192.0.2.1", ",", "192.0.2.1"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        ("fe80::1%eth0", None, "fe80::1"),
    ],
)
def test_a_trusted_proxy_names_the_last_hop(peer: str, forwarded: str | None, address: str) -> None:
    assert client_address(peer, forwarded, trust_proxy=True) == address


@given(st.text())
def test_nobody_else_is_believed(claim: str) -> None:
    assert client_address("192.0.2.1", claim, trust_proxy=False) == "192.0.2.1"


@given(st.text())
def test_odd_claims_do_no_harm(claim: str) -> None:
    assert client_address("192.0.2.1", claim, trust_proxy=True)


def test_a_turnstile_lets_a_burst_through_and_then_the_rate() -> None:
    turnstile = Turnstile(Rate(per_minute=10, burst=3))
    for _ in range(3):
        turnstile.enter("192.0.2.1", 0.0)
    with pytest.raises(TooMany) as caught:
        turnstile.enter("192.0.2.1", 0.0)
    assert caught.value.retry_after == 6
    turnstile.enter("192.0.2.2", 0.0)
    turnstile.enter("192.0.2.1", 6.0)
    with pytest.raises(TooMany):
        turnstile.enter("192.0.2.1", 6.5)


def test_neighbours_in_one_ipv6_network_share_a_limit() -> None:
    turnstile = Turnstile(Rate(per_minute=1, burst=1))
    turnstile.enter("2001:db8:1:2::1", 0.0)
    with pytest.raises(TooMany):
        turnstile.enter("2001:db8:1:2:ffff::9", 0.0)
    turnstile.enter("2001:db8:1:3::1", 0.0)
