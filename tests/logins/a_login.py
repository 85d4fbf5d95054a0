"""A login to test with."""

from __future__ import annotations

from logins.events import UserLogin


def login(version: str = "2.3.0") -> UserLogin:
    """Return a login from an app of this version."""
    return UserLogin("u", version, "ip", "NV", "d", 1_729_741_922, "iOS")
