"""A relay from its start to its end: the composition of everything in this room."""

from __future__ import annotations

import errno
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, cast

import trio

from loopsy_core.errors import Busy, LoopsyError, Misconfigured
from loopsy_core.kit import contained, one_error

from .accounts import open_accounts
from .address import Turnstile
from .app import make_app
from .config import RelayAddress
from .connection import Ending
from .http import Http
from .sockets import Sockets
from .switchboard import GONE_AWAY, Switchboard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .config import RelayConfig
    from .http import App

__all__ = ["serve_relay"]

_BACKLOG: Final = 1024  # connections that wait to be accepted, when everybody comes back at once

_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it

_log = logging.getLogger("loopsy_relay")


async def serve_relay(
    config: RelayConfig,
    *,
    task_status: trio.TaskStatus[RelayAddress] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Be a relay until cancelled; `started` tells its address once it accepts connections.

    Raises `Busy` when the port is taken, `Misconfigured` when it cannot listen there or the
    database cannot be used. Cancelled, it tells everybody that it goes away, which takes
    `config.goodbye_seconds` at most, and closes the database.
    """
    with one_error():
        async with open_accounts(config.database, config.phones_per_device) as accounts:
            switchboard = Switchboard(config)
            app = cast("App", make_app(config, accounts, switchboard))
            sockets = Sockets(accounts, switchboard, config, Turnstile(config.connecting))
            serve = partial(_serve_client, app, sockets, config)
            async with trio.open_nursery() as nursery:
                leaving = trio.Event()
                address = await nursery.start(_serve_clients, serve, switchboard, leaving, config)
                _log.info("the relay listens on %s port %s", address.host, address.port)
                task_status.started(address)
                try:
                    await trio.sleep_forever()
                finally:
                    leaving.set()
    raise AssertionError("a relay ends by being cancelled")


async def _serve_clients(
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    switchboard: Switchboard,
    leaving: trio.Event,
    config: RelayConfig,
    *,
    task_status: trio.TaskStatus[RelayAddress],
) -> None:
    """Accept connections until `leaving`, then say goodbye to all of them."""
    listeners = await _listen(config)
    # Shielded, so that cancelling the relay does not cut everybody off in the middle of a word.
    # It ends: `leaving` is set when the relay is cancelled, and a goodbye has its limit.
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as clients:
            async with trio.open_nursery() as accepting:
                accept = partial(trio.serve_listeners, handler_nursery=clients)
                await accepting.start(accept, serve, listeners)
                accepting.start_soon(switchboard.keep_watch)
                host, port = listeners[0].socket.getsockname()[:2]
                task_status.started(RelayAddress(config.url_at(host, port), host, port))
                await leaving.wait()
                accepting.cancel_scope.cancel()
            switchboard.close(Ending(GONE_AWAY, "the relay stops"))
            with trio.move_on_after(config.goodbye_seconds):
                await switchboard.wait_empty()
            clients.cancel_scope.cancel()


async def _serve_client(
    app: App, sockets: Sockets, config: RelayConfig, stream: trio.SocketStream
) -> None:
    """Serve one connection to its end. Whatever goes wrong goes wrong for this client only."""
    with contained(_log, "one connection failed"):
        async with stream:
            try:
                http = Http(stream, app, config)
                upgrade = await http.next_upgrade()
                if upgrade is not None:
                    await sockets.open(http, upgrade)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # gone, as clients go
            except trio.TooSlowError:
                pass  # it took nothing of an answer for so long that we gave up


async def _listen(config: RelayConfig) -> list[trio.SocketListener]:
    """Listen where the configuration says. Raises `Busy` or `Misconfigured`."""
    host, port = config.host, config.port
    try:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise Misconfigured(f"{host} is no address of this machine ({error.strerror})") from error
    except OSError as error:
        raise _cannot_listen(error, host, port) from error
    for listener in listeners:
        if _USER_TIMEOUT is not None:
            # Handed on to accepted connections. Our own limits are for what we still hold; this
            # is for what is in the kernel's hands when we have closed already.
            milliseconds = round(config.stall_seconds * 1000)
            listener.socket.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, milliseconds)
    return listeners


def _cannot_listen(error: OSError, host: str, port: int) -> LoopsyError:
    match error.errno:
        case errno.EADDRINUSE:
            return Busy(
                f"port {port} on {host} is taken, maybe by a relay that runs already:"
                " stop that program, or choose another port (0 takes any that is free)"
            )
        case errno.EACCES:
            return Misconfigured(
                f"port {port} on {host} is not ours to take: choose one above 1023, and let a"
                " proxy pass 80 and 443 on to it"
            )
        case errno.EADDRNOTAVAIL:
            return Misconfigured(
                f"{host} is no address of this machine: try 127.0.0.1, or 0.0.0.0 for all of them"
            )
        case _:
            return Misconfigured(f"cannot listen on {host} port {port}: {error.strerror or error}")
