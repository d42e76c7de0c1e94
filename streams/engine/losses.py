"""Which failures cost a task its memory, which end the worker, and how many are too many."""

from __future__ import annotations

from collections import deque
from typing import Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaTimeoutError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from streams.engine.errors import (
    ChangelogFormatError,
    ChangelogLostError,
    EngineError,
    StateFolderError,
    TaskLostError,
    TooManyTaskLossesError,
)
from streams.local.errors import LostStateError, NewerStateError, StorageError

_WINDOW_SECONDS: Final = 600.0
_AUTHORIZATION: Final = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
_STATE: Final = {
    StorageError: StateFolderError,
    NewerStateError: ChangelogFormatError,
    LostStateError: ChangelogLostError,
}
"""What is said of the state, and what the worker ends with because of it."""
_AWAY: Final = (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError, TimeoutError, OSError)


class Losses:
    """Counts the losses of one task over ten minutes.

    Parameters
    ----------
    most
        A task lost more often than this ends the worker.
    who
        Names the task, for messages.
    """

    def __init__(self, most: int, *, who: str) -> None:
        self._most = most
        self._who = who
        self._at: deque[float] = deque()

    def judge(self, error: Exception, *, now: float, taking_over: bool) -> int | None:
        """Decide what a failure means.

        Returns
        -------
        int or None
            How many losses there are now; None where the broker is away while the task has nothing to lose yet:
            waiting for it costs only time.

        Raises
        ------
        EngineError
            Where the worker has to end: authorization, configuration, state or disk, or too many losses.
        """
        if isinstance(error, _AUTHORIZATION):
            msg = f"{self._who} may not do what it has to: {error!r}"
            raise EngineError(msg) from error
        for kind, ends_with in _STATE.items():
            if isinstance(error, kind):
                msg = f"{self._who}: {error}"
                raise ends_with(msg) from error
        if isinstance(error, EngineError) and not isinstance(error, TaskLostError):
            raise error
        if taking_over and isinstance(error, _AWAY):
            return None
        self._at.append(now)
        while self._at[0] < now - _WINDOW_SECONDS:
            self._at.popleft()
        if len(self._at) > self._most:
            msg = (
                f"{self._who} was lost {len(self._at)} times in {_WINDOW_SECONDS:g} s: expected at most {self._most}"
                f" (PLUMBLINE_ENGINE_MAX_TASK_LOSSES); the last time by {error!r}"
            )
            raise TooManyTaskLossesError(msg) from error
        return len(self._at)
