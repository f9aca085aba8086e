"""Registering, pair tokens that work once, and forgetting."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, Busy, LoopsyError, NotFound, Refused
from loopsy_relay.accounts import Phone, Unauthorized, clean_name, open_accounts

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

NOW = 1_800_000_000.0


async def outcome(answer: Awaitable[object]) -> str:
    """Return what an attempt came to: "yes", or the sentence of its refusal."""
    try:
        await answer
    except LoopsyError as error:
        return error.message
    return "yes"


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_a_machine_is_known_by_its_secret_only(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        assert await accounts.find_device(device.text) == device.id
        secret = device.text.partition(".")[2]
        for wrong in [
            "",
            ".",
            device.id,
            f"{device.id}.",
            f"{device.id}.{secret[::-1]}",
            f".{secret}",
            device.text + "x",
            "é.é",
            "\ud800.\ud800",
        ]:
            with pytest.raises(Unauthorized):
                await accounts.find_device(wrong)
        with pytest.raises(Unauthorized):
            await accounts.find_phone(device.text)


async def test_no_secret_is_on_disk(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW)
        _, bearer = await accounts.redeem(token.text, "phone", NOW)
    stored = everything_in(tmp_path)
    assert device.id.encode() in stored
    for text in (device.text, bearer.text):
        assert text.partition(".")[2].encode() not in stored
        assert text not in repr(device) + repr(bearer)


async def test_a_phone_pairs_is_listed_seen_and_revoked(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW)
        assert token.expires == NOW + 60
        phone, bearer = await accounts.redeem(token.text, "Kai's phone", NOW + 1)
        assert phone == Phone(bearer.id, device.id)
        [record] = await accounts.list_phones(device.id)
        assert (record.id, record.name, record.created) == (phone.id, "Kai's phone", NOW + 1)
        assert record.last_seen is None
        assert await accounts.find_phone(bearer.text, NOW + 5) == phone
        [record] = await accounts.list_phones(device.id)
        assert record.last_seen == NOW + 5
        await accounts.revoke_phone(device.id, phone.id)
        with pytest.raises(Unauthorized):
            await accounts.find_phone(bearer.text)
        assert await accounts.list_phones(device.id) == []


async def test_a_machine_sees_and_revokes_its_own_phones_only(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        ours, theirs = await accounts.register("a", NOW), await accounts.register("b", NOW)
        token = accounts.issue(ours.id, 60, NOW)
        phone, bearer = await accounts.redeem(token.text, "phone", NOW)
        assert await accounts.list_phones(theirs.id) == []
        with pytest.raises(NotFound):
            await accounts.revoke_phone(theirs.id, phone.id)
        assert await accounts.find_phone(bearer.text) == phone


async def test_forgetting_a_machine_forgets_its_phones(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW)
        _, bearer = await accounts.redeem(token.text, "phone", NOW)
        await accounts.forget_device(device.id)
        with pytest.raises(Unauthorized):
            await accounts.find_device(device.text)
        with pytest.raises(Unauthorized):
            await accounts.find_phone(bearer.text)
        with pytest.raises(NotFound):
            await accounts.forget_device(device.id)


async def test_each_refusal_of_a_token_has_its_own_sentence(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        spent = accounts.issue(device.id, 60, NOW).text
        late = accounts.issue(device.id, 60, NOW).text
        orphan = accounts.issue(device.id, 600, NOW).text
        await accounts.redeem(spent, "phone", NOW)
        sentences = [
            await outcome(accounts.redeem(spent, "phone", NOW)),
            await outcome(accounts.redeem(late, "phone", NOW + 60)),
            await outcome(accounts.redeem("forged", "phone", NOW)),
        ]
        await accounts.forget_device(device.id)
        sentences.append(await outcome(accounts.redeem(orphan, "phone", NOW)))
        assert "yes" not in sentences
        assert len(set(sentences)) == len(sentences)


async def test_a_changed_token_is_refused(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW).text
        for at, character in enumerate(token):
            forged = token[:at] + ("A" if character != "A" else "B") + token[at + 1 :]
            with pytest.raises(Refused, match="not made by this relay"):
                await accounts.redeem(forged, "phone", NOW)
        for odd in [
            "",
            token[:-1],
            token + "A",
            token + "=",
            token + "\n",
            "é",
            "\ud800",
            "-" * 64,
        ]:
            with pytest.raises(Refused, match="not made by this relay"):
                await accounts.redeem(odd, "phone", NOW)
        assert await outcome(accounts.redeem(token, "phone", NOW)) == "yes"


async def test_a_token_of_another_relay_is_refused(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "a", 10) as a, open_accounts(tmp_path / "b", 10) as b:
        device = await a.register("laptop", NOW)
        with pytest.raises(Refused):
            await b.redeem(a.issue(device.id, 60, NOW).text, "phone", NOW)


async def test_a_token_used_by_many_at_once_lets_one_in(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW).text
        outcomes: list[str] = []

        async def try_it(name: str) -> None:
            outcomes.append(await outcome(accounts.redeem(token, name, NOW)))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(try_it, f"phone {number}")
        assert outcomes.count("yes") == 1
        assert len(await accounts.list_phones(device.id)) == 1


async def test_too_many_phones_leave_the_token_good(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 2) as accounts:
        device = await accounts.register("laptop", NOW)
        first, *others = [accounts.issue(device.id, 60, NOW).text for _ in range(3)]
        phone, _ = await accounts.redeem(first, "phone", NOW)
        await accounts.redeem(others[0], "phone", NOW)
        with pytest.raises(Busy):
            await accounts.redeem(others[1], "phone", NOW)
        await accounts.revoke_phone(device.id, phone.id)
        assert await outcome(accounts.redeem(others[1], "phone", NOW)) == "yes"


async def test_spent_tokens_are_remembered_only_while_they_could_be_valid(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 1000) as accounts:
        device = await accounts.register("laptop", NOW)
        for minute in range(10):
            now = NOW + 60 * minute
            token = accounts.issue(device.id, 30, now).text
            await accounts.redeem(token, "phone", now)
            assert "used already" in await outcome(accounts.redeem(token, "phone", now + 29))
            assert "expired" in await outcome(accounts.redeem(token, "phone", now + 30))
    with sqlite3.connect(tmp_path / "db") as db:
        assert db.execute("SELECT count(*) FROM used_nonces").fetchone() == (1,)
    db.close()


async def test_tokens_and_secrets_survive_a_restart(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW).text
        other = accounts.issue(device.id, 60, NOW).text
        await accounts.redeem(other, "phone", NOW)
    async with open_accounts(tmp_path / "db", 10) as accounts:
        assert await accounts.find_device(device.text) == device.id
        assert "used already" in await outcome(accounts.redeem(other, "phone", NOW))
        assert await outcome(accounts.redeem(token, "phone", NOW)) == "yes"


async def test_a_token_redeemed_before_a_kill_stays_redeemed(tmp_path: Path) -> None:
    program = f"""
import trio
from pathlib import Path
from loopsy_relay.accounts import open_accounts

async def main():
    async with open_accounts(Path({str(tmp_path / "db")!r}), 10) as accounts:
        device = await accounts.register("laptop", {NOW})
        token = accounts.issue(device.id, 60, {NOW}).text
        _, bearer = await accounts.redeem(token, "phone", {NOW})
        print(token, bearer.text, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""

    def run_and_kill() -> list[str]:
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        return line.split()

    with trio.fail_after(30):
        token, bearer = await trio.to_thread.run_sync(run_and_kill)
    async with open_accounts(tmp_path / "db", 10) as accounts:
        assert "used already" in await outcome(accounts.redeem(token, "phone", NOW))
        phone = await accounts.find_phone(bearer)
        assert len(await accounts.list_phones(phone.device)) == 1


async def test_a_cancelled_redemption_happened_or_did_not(tmp_path: Path) -> None:
    async with open_accounts(tmp_path / "db", 10) as accounts:
        device = await accounts.register("laptop", NOW)
        token = accounts.issue(device.id, 60, NOW).text
        with trio.CancelScope() as scope:
            scope.cancel()
            await accounts.redeem(token, "phone", NOW)
        assert await accounts.list_phones(device.id) == []
        assert await outcome(accounts.redeem(token, "phone", NOW)) == "yes"


@given(st.text())
def test_a_name_is_clean_or_refused(name: str) -> None:
    try:
        cleaned = clean_name(name)
    except BadRequest:
        return
    assert 0 < len(cleaned) <= 64
    assert cleaned == cleaned.strip()
    assert clean_name(cleaned) == cleaned
    cleaned.encode()  # no lone surrogates


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("  Kai's\tphone \n", "Kai's phone"),
        ("a\x1b[31mb", "a[31mb"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("x" * 100, "x" * 64),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_what_could_disturb_a_line_is_taken_out(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@pytest.mark.parametrize("name", ["", " ", "\n", "\x00", "\u200d", "\ud800"])
def test_a_name_needs_something_to_see(name: str) -> None:
    with pytest.raises(BadRequest):
        clean_name(name)
