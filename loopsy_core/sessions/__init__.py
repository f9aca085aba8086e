"""Terminals that outlive their viewers, and the process that owns them."""

from __future__ import annotations

from .reach import HostLink, open_host_link

__all__ = ["HostLink", "open_host_link"]
