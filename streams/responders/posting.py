"""Posting to a receiver until it takes it: tries, waits, and what counts as taken.

Success is any 2xx. 408, 425, 429, 5xx and no answer are tried again, with exponential waits and jitter; any other
answer is final. Redirects are not followed: what is signed goes to the address that was configured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import tenacity

from streams import telemetry

_AGAIN: Final = frozenset({408, 425, 429})
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0

Sleep = Callable[[float], Awaitable[None]]


class NotTakenError(Exception):
    """The receiver did not take it.

    Parameters
    ----------
    message
        What it answered.
    n_tries
        How often it was asked.
    """

    def __init__(self, message: str, n_tries: int = 1) -> None:
        super().__init__(message)
        self.n_tries = n_tries


class _TryAgainError(Exception):
    """The receiver did not take it, and may the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Posts bodies to one address.

    Parameters
    ----------
    url
        Where to.
    responder
        The name under which metrics know it.
    attempts
        Tries of one body.
    sleep
        Waits between tries.
    """

    url: httpx.URL
    responder: str
    attempts: int
    sleep: Sleep = asyncio.sleep

    async def post(
        self,
        client: httpx.AsyncClient,
        body: bytes,
        headers: Mapping[str, str],
        *,
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        """Post a body until it is taken.

        Parameters
        ----------
        client
            With its timeout.
        body, headers
            What is sent, the same in each try.
        before_each
            Called before each try; what it raises ends the posting.

        Raises
        ------
        NotTakenError
            After the last try, or the first answer that is final.
        """
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_exponential_jitter(initial=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            await retrying(self._try, client, body, headers, before_each)
        except (_TryAgainError, NotTakenError) as error:
            raise NotTakenError(str(error), retrying.statistics.get("attempt_number", 1)) from error

    async def _try(
        self, client: httpx.AsyncClient, body: bytes, headers: Mapping[str, str], before_each: Callable[[], None]
    ) -> None:
        before_each()
        begun = time.perf_counter()
        try:
            response = await client.post(self.url, content=body, headers=dict(headers))
        except httpx.HTTPError as error:
            telemetry.RESPONSES.labels(responder=self.responder, outcome="unreachable").inc()
            raise _TryAgainError(repr(error)) from error
        finally:
            telemetry.RESPONSE_SECONDS.labels(responder=self.responder).observe(time.perf_counter() - begun)
        if response.is_success:
            return
        telemetry.RESPONSES.labels(responder=self.responder, outcome="refused").inc()
        answer = f"answered {response.status_code}: {response.text[:200]}"
        if response.status_code in _AGAIN or response.is_server_error:
            raise _TryAgainError(answer)
        raise NotTakenError(answer)
