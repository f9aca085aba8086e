"""HTTP on loopback, for whatever speaks nothing else; see docs/http.md.

Only the door itself is loaded with the node.
"""

from __future__ import annotations

from .door import HttpDoor, open_http

__all__ = ["HttpDoor", "open_http"]
