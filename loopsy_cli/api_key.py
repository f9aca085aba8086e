"""`loopsy key`: this node's public key, and the key of its HTTP door."""

from __future__ import annotations

import os
from typing import Annotated

from loopsy_core.errors import NoDaemon
from loopsy_core.home import Home, load_api_key, load_identity, lock_file, rotate_api_key
from loopsy_core.wire import RotateKey

from .ask import ask
from .options import Json, Option
from .show import clean, note, print_json, say

__all__ = ["generate", "show"]


def show(
    *,
    http: Annotated[bool, Option("The HTTP key instead, which is a secret.")] = False,
    json: Json = False,
) -> None:
    """Show this machine's public key, which others need to add it by hand.

    With --http the key that scripts show to the HTTP door. Whoever knows it may do here all that
    you may, so keep it out of arguments and logs: curl takes it from a file by -H @FILE.
    """
    home = Home.find()
    home.check()
    node_id = load_identity(home).id
    path = os.fsencode(home.api_key).decode("utf-8", "replace")
    if json:
        secret = {"api_key": load_api_key(home)} if http else {}
        print_json({"public_key": node_id, "api_key_file": path, **secret})
    elif http:
        say(load_api_key(home))
    else:
        say(node_id)
        note(f"the HTTP key is in {clean(path)}; --http shows it")


def generate(*, json: Json = False) -> None:
    """Make a new HTTP key; the old one is worth nothing from now on, also for open connections."""
    home = Home.find()
    home.check()
    try:
        ask(RotateKey(), home)
    except NoDaemon:
        with lock_file(home.node_lock):  # or one that starts now would go on with the old one
            rotate_api_key(home)
    path = os.fsencode(home.api_key).decode("utf-8", "replace")
    if json:
        print_json({"api_key_file": path})
    else:
        say(f"there is a new HTTP key in {clean(path)}; scripts that read it there go on as before")
