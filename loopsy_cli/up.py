"""`loopsy up`: home, daemon and relay in one process, and a code to open a shell in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from loopsy_core.errors import Busy, Misconfigured
from loopsy_core.home import Home, load_config, prepare_home

from .options import Json, Option
from .relay import DEFAULT_PORT, make_relay_folder
from .show import clean, note, say

if TYPE_CHECKING:
    from loopsy_core.wire import SessionInfo

__all__ = ["up"]


def up(
    *,
    lan: Annotated[bool, Option("Let phones on the local network connect.")] = False,
    port: Annotated[int, Option("Listen on this port; 0 takes a free one.")] = DEFAULT_PORT,
    no_browser: Annotated[bool, Option("Open no browser here.")] = False,
    json: Json = False,
) -> None:
    """Open a shell in a browser, from nothing: makes the home, and runs daemon and relay here.

    It shows the app's address, a QR and a code for your phone, and then what happens. Ctrl-C
    stops daemon and relay; sessions live on.

    Without --lan only this machine can connect. With it, everybody on the local network can
    reach the relay, but without the code nobody gets in.

    With --json it prints one line once it is ready, and nothing else.
    """
    from .daemon import runs
    from .desktop import find_lan_address
    from .looping import log_to, run
    from .together import Plan, run_together

    home = Home.find()
    if runs(home):
        raise Busy(
            f"a daemon runs in {home.root} already: `loopsy mobile pair` pairs a phone with it,"
            " `loopsy stop` ends it"
        )
    made = prepare_home(home)
    configured = load_config(home.config).relay.url
    if configured is not None:
        raise Misconfigured(
            f"{home.config} names the relay {configured}, so none is needed here: run"
            " `loopsy start`, or remove that line"
        )
    if made and not json:
        note(f"made the home {clean(str(home.root))}")
    address = find_lan_address() if lan else "127.0.0.1"
    folder = make_relay_folder(home)
    log_to(home.node_log)
    browser = not (no_browser or json)
    plan = Plan(home, folder, address, port, lan=lan, as_json=json, browser=browser)
    living = run(lambda: run_together(plan))
    if not json:
        _say_goodbye(living)


def _say_goodbye(living: list[SessionInfo]) -> None:
    if not living:
        say("Loopsy has stopped; no session runs.")
        return
    names = ", ".join(clean(session.name) for session in living)
    what = "This session lives on" if len(living) == 1 else "These sessions live on"
    say(f"Loopsy has stopped. {what}: {names}")
    say("`loopsy up` comes back to them; `loopsy stop --sessions` ends them.")
