"""Phones get other names and other grants, and feel it at once."""

from __future__ import annotations

import pytest
import trio

from loopsy_core.errors import BadRequest, NotFound, Refused
from loopsy_core.wire import PRESETS, GrantPhone, Hello, RenamePhone
from tests.core.node.phones_world import EPOCH, at_the_door, last_word, open_porch
from tests.core.node.test_staying import paired, talk
from tests.world import open_phone


async def test_a_phone_is_called_what_its_user_likes() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        await paired(porch, "other")
        renamed = await porch.phones.rename(RenamePhone(phone="pixel", name=" Nina's phone "))
        assert (renamed.id, renamed.name) == (phone.id, "Nina's phone")
        assert [each.name for each in porch.phones.list()] == ["Nina's phone", "other"]
        with pytest.raises(BadRequest, match="called 'other' already"):
            await porch.phones.rename(RenamePhone(phone="Nina's phone", name="other"))
        with pytest.raises(BadRequest, match="printable"):
            await porch.phones.rename(RenamePhone(phone="other", name="\x1b[2J"))
        with pytest.raises(NotFound):
            await porch.phones.rename(RenamePhone(phone="pixel", name="x"))


async def test_a_phone_that_is_here_has_its_new_grants_at_once() -> None:
    with trio.fail_after(5), open_porch() as porch:
        phone = await paired(porch, "pixel")
        async with trio.open_nursery() as nursery:
            with at_the_door(nursery, porch.serve) as near:
                await talk(near, phone, porch)
                changed = await porch.phones.grant(GrantPhone(phone="pixel", preset="viewer"))
                assert changed.grants == sorted(PRESETS["viewer"])
                assert await last_word(near) == "bye"  # not revoked: it comes again
        async with open_phone(porch.serve, phone.again(porch.identity.id)) as again:
            assert (await again.ask(Hello())).grants == sorted(PRESETS["viewer"])


async def test_an_end_is_set_and_taken_away() -> None:
    with trio.fail_after(5), open_porch() as porch:
        await paired(porch, "pixel")
        ends = await porch.phones.grant(GrantPhone(phone="pixel", add=["exec"], expires=3e9))
        assert ends.expires_at == 3e9
        assert "exec" in ends.grants
        lasts = await porch.phones.grant(GrantPhone(phone="pixel", remove=["exec"], lasting=True))
        assert lasts.expires_at is None
        assert "exec" not in lasts.grants
        with pytest.raises(Refused, match="past"):
            await porch.phones.grant(GrantPhone(phone="pixel", expires=EPOCH / 2))
