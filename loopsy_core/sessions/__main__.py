"""Runs the session host: `python -m loopsy_core.sessions HOME`."""

from __future__ import annotations

import sys
from pathlib import Path

from .host import main

if __name__ == "__main__":
    main(Path(sys.argv[1]))
