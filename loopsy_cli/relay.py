"""The relay from the command line: `relay configure`, `show`, `unset` and `serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from loopsy_core.errors import BadRequest, Misconfigured
from loopsy_core.home import Home
from loopsy_core.wire import ConfigureRelay, ShowRelay, UnsetRelay

from .ask import ask
from .options import Json, Option
from .show import flush, note, print_json, say

if TYPE_CHECKING:
    from loopsy_core.wire import RelayStatus
    from loopsy_relay import RelayConfig

__all__ = ["configure", "make_relay_folder", "serve", "show", "unset"]

SECRET_VARIABLE: Final = "LOOPSY_REGISTRATION_SECRET"
MOST_SECRET: Final = 1024
DATABASE: Final = "relay.db"
DEFAULT_PORT: Final = 19534

SecretFile = Annotated[
    str | None,
    Option(
        f"Read the registration secret from this file, or from standard input if it is -."
        f" {SECRET_VARIABLE} does the same.",
        "FILE",
    ),
]


def configure(url: str, /, *, secret_file: SecretFile = None, json: Json = False) -> None:
    """Register this machine with the relay at URL, and use it from now on.

    A relay that was used before is left, and its phones have to pair again.
    """
    _print(ask(ConfigureRelay(url=url, registration_secret=read_secret(secret_file))), as_json=json)


def show(*, json: Json = False) -> None:
    """Show which relay is used, and whether it can be reached."""
    _print(ask(ShowRelay()), as_json=json)


def unset(*, json: Json = False) -> None:
    """Leave the relay and forget it. Phones cannot reach this machine then."""
    _print(ask(UnsetRelay()), as_json=json)


def serve(
    *,
    host: Annotated[str, Option("Listen on this address; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, Option("Listen on this port; 0 takes a free one.")] = DEFAULT_PORT,
    public_url: Annotated[
        str | None, Option("What the relay is called from outside, behind a proxy.", "URL")
    ] = None,
    trust_proxy: Annotated[
        bool, Option("Believe X-Forwarded-For: only behind a proxy that sets it.")
    ] = False,
    secret_file: SecretFile = None,
    database: Annotated[
        str | None, Option("Keep the accounts here; by default in the home.", "FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Be a relay, for your machines and phones to meet, until Ctrl-C.

    What it carries is sealed; it cannot read it. For phones on the internet let a web server
    with TLS pass on to it, and name that one's address with --public-url.
    """
    from loopsy_relay import RelayConfig

    from .looping import run

    secret = read_secret(secret_file)
    if database is None:
        database = str(make_relay_folder(Home.find()) / DATABASE)
    config = RelayConfig(
        host=host,
        port=port,
        database=Path(database),
        registration_secret=secret,
        public_url=public_url,
        trust_proxy=trust_proxy,
    )
    run(lambda: _serve(config, as_json=json))


async def _serve(config: RelayConfig, *, as_json: bool) -> None:
    import logging
    import signal

    import trio

    from loopsy_relay import serve_relay

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            address = await nursery.start(serve_relay, config)
            if as_json:
                print_json({"url": address.url, "host": address.host, "port": address.port})
            else:
                say(f"the relay is at {address.url}; Ctrl-C stops it")
                if config.registration_secret is None:
                    note(
                        "every machine that reaches it may register; --secret-file FILE limits that"
                    )
            flush()
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()


def read_secret(file: str | None) -> str | None:
    """Return the registration secret in `file` (`-`: standard input), else in the environment.

    It is never an argument, for those can be read by every user of a machine.
    """
    if file is None:
        return os.environ.get(SECRET_VARIABLE) or None
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MOST_SECRET + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MOST_SECRET + 1)
        secret = data.decode().strip()
    except OSError as error:
        raise Misconfigured(f"cannot read a secret from {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(secret) > MOST_SECRET or not secret.isprintable():
        raise BadRequest(f"{file} does not hold a secret: one line of text is expected")
    return secret


def make_relay_folder(home: Home) -> Path:
    """Make the folder for what a relay keeps, which only its user may enter."""
    home.create()
    home.check()
    try:
        home.relay_dir.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"cannot make the folder {home.relay_dir}: {error.strerror}") from None
    return home.relay_dir


def _print(relay: RelayStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(relay)
        return
    from .status import relay_line

    say(f"relay: {relay_line(relay)}" if relay.url else "no relay is used")
