"""Terminals that outlive their viewers, and the process that owns them."""

from __future__ import annotations

from .reach import HostLink, HostStarter, open_host_link

__all__ = ["HostLink", "HostStarter", "open_host_link"]
