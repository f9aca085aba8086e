"""The node's relay: which one it uses, how it stands, and changing that while running."""

from __future__ import annotations

import logging
import operator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
import trio

from loopsy_core.errors import BadRequest, Busy, Gone, LoopsyError, Misconfigured, Refused
from loopsy_core.home import Home, write_private
from loopsy_core.kit import Backoff, Watched, keep_running
from loopsy_core.wire import Pass, RelayStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from loopsy_core.links.relay import PhoneChannel
    from loopsy_core.links.relay_api import RelayApi

__all__ = ["Relaying", "open_relaying"]

PASS_TTL: Final = 60.0
"""Seconds in which a machine must use the token that lets it through our relay."""
FIRST_TRY: Final = 5.0
"""Seconds that `configure` waits for the link, so that its reply says whether it works."""

_log = logging.getLogger("loopsy.relay")


class Credential(msgspec.Struct, frozen=True):
    """Our account at a relay, as kept in the home (0600)."""

    url: str
    device: str
    secret: str


class Relaying:
    """Keeps the link to the relay up; `open_relaying` makes it."""

    def __init__(
        self, home: Home, name: str, serve: Callable[[PhoneChannel], Awaitable[None]]
    ) -> None:
        """Serve each phone that comes through the relay with `serve`."""
        self._home = home
        self._name = name
        self._serve = serve
        self._credential = Watched(_load(home))
        self._void: Credential | None = None  # the account that its relay does not know any more
        url = self._credential.value.url if self._credential.value else None
        self.status = Watched(RelayStatus(url, connected=False))

    @property
    def url(self) -> str | None:
        """The relay in use."""
        return self.status.value.url

    def api(self) -> RelayApi:
        """Return the relay's requests, in our name; raises `Misconfigured` without a relay."""
        from loopsy_core.links.relay_api import RelayApi

        credential = self._credential.value
        if credential is None:
            raise Misconfigured("no relay is set; run `loopsy up`, or `loopsy relay configure URL`")
        return RelayApi(credential.url, credential.secret)

    async def configure(self, url: str, registration_secret: str | None) -> RelayStatus:
        """Register at the relay at `url` and use it from now on; the old one is left.

        Raises `BadRequest` for what is no address, `Gone` when the relay cannot be reached and
        `Refused` when it does not want us; nothing has changed then.
        """
        from loopsy_core.links.relay_api import RelayApi, parse_relay_url

        url = parse_relay_url(url)
        old = self._credential.value
        registered = await RelayApi(url, registration_secret).register(self._name)
        credential = Credential(url, registered.device_id, registered.secret)
        write_private(self._home.relay_credential, msgspec.json.encode(credential))
        self._use(credential)
        if old is not None:
            await self._leave(old)
        with trio.move_on_after(FIRST_TRY):
            await self.status.wait(lambda status: status.connected or status.problem is not None)
        return self.status.value

    async def use_configured(self, url: str) -> None:
        """Register with the relay that config.yaml names; from then on the link keeps itself up."""
        backoff = Backoff(first=1.0, most=60.0)
        while True:
            try:
                await self.ensure(url, None, None)
                return
            except (Gone, Busy) as error:
                delay = backoff.next()
                _log.warning("%s; next try in %.0f s", error, delay)
                await trio.sleep(delay)
            except LoopsyError as error:
                _log.warning("the relay of config.yaml cannot be used: %s", error)
                return

    async def ensure(
        self, url: str, registration_secret: str | None, moved_from: str | None
    ) -> RelayStatus:
        """Use the relay at `url`; register only when we have no account there, or it is void.

        A relay that cannot be reached now is no reason: a new account would cost all phones
        theirs. `moved_from` is where the same relay answered before: our account there is good
        here too.
        """
        from loopsy_core.links.relay_api import parse_relay_url

        url = parse_relay_url(url)
        credential = self._credential.value
        if credential is not None and credential.url == moved_from != url:
            credential = msgspec.structs.replace(credential, url=url)
            write_private(self._home.relay_credential, msgspec.json.encode(credential))
            self._use(credential)
        if credential is not None and credential.url == url:
            with trio.move_on_after(FIRST_TRY):
                await self.status.wait(lambda status: status.connected or self._void == credential)
            if self._void != credential:
                return self.status.value
        return await self.configure(url, registration_secret)

    async def unset(self) -> RelayStatus:
        """Leave the relay and forget it; its phones can no longer reach us."""
        old = self._credential.value
        self._home.relay_credential.unlink(missing_ok=True)
        self._use(None)
        if old is not None:
            await self._leave(old)
        return self.status.value

    async def grant_pass(self) -> Pass:
        """Make a token for one machine to be let through our relay."""
        if not self.status.value.connected:
            return Pass(None)
        api = self.api()
        return Pass(api.url, (await api.issue(PASS_TTL)).token)

    async def forget_client(self, client: str, name: str) -> None:
        """Have the relay delete the account of a contact, if the relay can be reached."""
        try:
            await self.api().revoke_phone(client)
        except LoopsyError as error:
            _log.info("the relay keeps the account of %s: %s", name, error)

    async def keep_link(self) -> NoReturn:
        """Keep the link up, anew for each relay that is set."""
        credential: Credential | None = None
        while True:
            async with trio.open_nursery() as nursery:
                if credential is not None:
                    nursery.start_soon(self._keep_one, credential)
                credential = await self._credential.wait(partial(operator.ne, credential))
                nursery.cancel_scope.cancel()

    async def _keep_one(self, credential: Credential) -> None:
        try:
            await keep_running(
                lambda: self._link(credential),
                backoff=Backoff(first=0.3, most=10.0),
                give_up_on=(Refused,),
                on_failure=lambda error, delay: self._failed(credential, error, delay),
            )
        except Refused as error:
            self._void = credential
            problem = f"{error}; run `loopsy relay configure {credential.url}`"
            _log.warning("%s", problem)
            self._stands(credential, problem=problem)

    async def _link(self, credential: Credential) -> None:
        from loopsy_core.links.relay import serve_phones

        def connected() -> None:
            _log.info("connected to %s", credential.url)
            self._stands(credential)

        await serve_phones(credential.url, credential.secret, self._serve, on_connected=connected)

    def _failed(self, credential: Credential, error: Exception, delay: float) -> None:
        if isinstance(error, LoopsyError):
            _log.warning("%s; next try in %.1f s", error, delay)
            problem = str(error)
        else:
            _log.error("the link to the relay failed", exc_info=error)
            problem = "the link failed; the log says why"
        self._stands(credential, problem=problem)

    def _stands(self, credential: Credential, problem: str | None = None) -> None:
        """Tell how the link stands, unless it is one that was left in this very moment."""
        if credential == self._credential.value:
            self.status.set(RelayStatus(credential.url, problem is None, problem))

    def _use(self, credential: Credential | None) -> None:
        self.status.set(RelayStatus(credential.url if credential else None, connected=False))
        self._credential.set(credential)

    async def _leave(self, credential: Credential) -> None:
        """Have our old account deleted, if the relay can be reached."""
        from loopsy_core.links.relay_api import RelayApi

        try:
            await RelayApi(credential.url, credential.secret).unregister()
        except (Gone, Refused, BadRequest) as error:
            _log.info("the old account at %s stays: %s", credential.url, error)


def _load(home: Home) -> Credential | None:
    try:
        data = home.relay_credential.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=Credential)
    except msgspec.DecodeError as error:
        raise Misconfigured(
            f"{home.relay_credential} cannot be read ({error}); "
            "remove it and run `loopsy relay configure URL`"
        ) from None


@asynccontextmanager
async def open_relaying(
    home: Home, name: str, serve: Callable[[PhoneChannel], Awaitable[None]]
) -> AsyncGenerator[Relaying]:
    """Be reachable through the relay, if one is set, for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        relaying = Relaying(home, name, serve)
        nursery.start_soon(relaying.keep_link)
        yield relaying
        nursery.cancel_scope.cancel()
