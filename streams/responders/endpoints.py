"""Addresses of the outside world: checked at start, and fit to be shown."""

from __future__ import annotations

import httpx

from streams.engine.errors import ConfigurationError


def endpoint(url: str, *, setting: str, path: str = "") -> httpx.URL:
    """Return a checked address.

    Parameters
    ----------
    url
        As it was configured.
    setting
        Where it was configured, for the error.
    path
        Put behind the address's own path.

    Raises
    ------
    ConfigurationError
        Where it is no http or https address with a host.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        msg = f"{setting} = {shown(url)!r} is no address: expected http://host:port or https://host"
        raise ConfigurationError(msg)
    return parsed.copy_with(path=parsed.path.rstrip("/") + path) if path else parsed


def shown(url: str) -> str:
    """Return an address without user, password, query and fragment, which may be secret."""
    head, separator, rest = url.partition("://")
    if not separator:
        return url.partition("?")[0]
    authority, slash, path = rest.partition("/")
    return f"{head}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0].partition('#')[0]}"
