"""Names of served models: ``openai:`` and the address of the server's API."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from evolm.errors import ConfigError

SERVER: Final = "openai:"


def is_served(name: str) -> bool:
    """Return whether a model's name is that of a server."""
    return name.startswith(SERVER)


def host_elsewhere(name: str) -> str:
    """Return the host of a served model's name; ``""`` if it is this machine, or no server.

    Raises:
        ConfigError: if it is no address; see :func:`address`.
    """
    if not is_served(name):
        return ""
    host = urlsplit(address(name)).hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        here = host == "localhost"
    return "" if here else host


def address(name: str) -> str:
    """Return the address of a server's API, without a slash at its end.

    Raises:
        ConfigError: if it is no address, or holds a password, which the message does not repeat.
    """
    url = name.removeprefix(SERVER).rstrip("/")
    try:
        parts = urlsplit(url)
        scheme, host, secret = parts.scheme, parts.hostname, parts.username or parts.password or parts.query
    except ValueError:
        scheme, host, secret = "", None, None
    if secret:
        raise ConfigError(
            "model.name: expected an address without user, password and query, found one with them; the key comes "
            "from the environment variable that model.key_variable names"
        )
    if scheme not in ("http", "https") or not host:
        raise ConfigError(f"model.name: expected {SERVER}http://HOST:PORT/v1, found {name!r}")
    return url
