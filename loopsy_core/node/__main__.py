"""Runs a node: `python -m loopsy_core.node HOME [--lan | --loopback]`."""

from __future__ import annotations

import sys
from pathlib import Path

from .daemon import main

if __name__ == "__main__":
    main(Path(sys.argv[1]), lan="--lan" in sys.argv[2:], loopback="--loopback" in sys.argv[2:])
