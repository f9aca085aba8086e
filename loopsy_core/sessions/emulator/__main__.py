"""Runs the emulator process: `python -m loopsy_core.sessions.emulator SPOKEN SOCKET MARK`."""

from __future__ import annotations

import sys

from .serve import main

if __name__ == "__main__":
    main(sys.argv[1:])
