"""The event loop of a worker: uvloop's, which closes TLS connections in bounded time.

At the end of a TLS connection each side says goodbye, and waits for the other's. aiokafka waits for that wherever a
client is stopped, and with uvloop and a Kafka broker the answer was not seen: of three stages two or three still stood
in their take-over after 16 s, and the loop would wait for 30; over plain connections all were ready after 3 s. Nothing
depends on the goodbye: what counts was acknowledged before.
"""

from __future__ import annotations

import asyncio
from ssl import SSLContext
from typing import Any, Final

import uvloop

_GOODBYE_SECONDS: Final = 0.1


class WorkerLoop(uvloop.Loop):
    """uvloop's loop, with a short time for the end of a TLS connection."""

    async def create_connection(self, *where: Any, ssl: SSLContext | bool | None = None, **options: Any) -> Any:
        """Open a connection; see `asyncio.loop.create_connection`."""
        if ssl:
            options.setdefault("ssl_shutdown_timeout", _GOODBYE_SECONDS)
        return await super().create_connection(*where, ssl=ssl, **options)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make a loop, for `asyncio.Runner`."""
    return WorkerLoop()
