"""Makes whatever a home still lacks: the folder, its settings and its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopsy_core.errors import Refused

from .api_key import make_api_key
from .config import default_config_text
from .identity import create_identity
from .private_files import create_private

if TYPE_CHECKING:
    from pathlib import Path

    from .paths import Home

__all__ = ["prepare_home"]


def prepare_home(home: Home) -> tuple[Path, ...]:
    """Make what is missing in `home`, folders 0700 and files 0600, and return what was made.

    Nothing that exists is touched, so two of these at once do no harm. Raises `Misconfigured`
    when something cannot be made, or when what exists is open to other users.
    """
    made = [*home.create()]
    home.check()  # before a key is written where others could read it
    try:
        create_private(home.config, default_config_text().encode())
        made.append(home.config)
    except FileExistsError:
        pass
    # Asked first because making a key loads OpenSSL, which takes longer than all the rest.
    if not home.identity.exists():
        try:
            create_identity(home)
            made.append(home.identity)
        except Refused:
            pass  # somebody was faster
    if make_api_key(home):
        made.append(home.api_key)
    return tuple(made)
