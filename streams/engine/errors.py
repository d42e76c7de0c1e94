"""What can end a worker, told apart by type; each error knows its exit code."""

from __future__ import annotations

from typing import ClassVar


class EngineError(RuntimeError):
    """A failure that the engine says loudly; `exit_code` is what a process ends with because of it."""

    exit_code: ClassVar[int] = 1


class BrokerUnavailableError(EngineError):
    """No broker answered within `kafka.connect_timeout_seconds`."""

    exit_code = 3


class BrokerRefusedError(EngineError):
    """A broker and this client do not trust each other: credentials, certificates, or the protocol itself."""

    exit_code = 4


class ConfigurationError(EngineError):
    """Something that a person has to change before a start makes sense."""

    exit_code = 2


class TopicLayoutError(ConfigurationError):
    """A topic has another partition count than the settings expect, or inputs of a stage differ."""


class GuaranteeUnsupportedError(ConfigurationError):
    """The broker has no transactions, and the settings ask for exactly_once."""


class ChangelogFormatError(EngineError):
    """A changelog was written in a format that this version does not read."""


class StateFolderError(EngineError):
    """The disk of `engine.state_folder` does not take what has to be written; the changelog has all of it."""

    exit_code = 5


class StateFolderInUseError(ConfigurationError):
    """Another worker has the `engine.state_folder`."""


class ChangelogLostError(EngineError):
    """A changelog does not hold what its last commit names."""


class CommitTooLargeError(EngineError):
    """A record of a commit is larger than its topic takes."""


class PositionError(EngineError):
    """A position to resume from lies outside its topic, or contradicts the group's committed offset."""


class ProcessingError(EngineError):
    """Our own code raised on a record, and `on_processing_error` is `stop`."""


class TaskLostError(EngineError):
    """A task's commit failed or its ownership is in doubt: it has to fence and restore."""


class TooManyTaskLossesError(EngineError):
    """A task was lost more often than `max_task_losses` within ten minutes."""


class FetchError(EngineError):
    """The group's consumer met something that does not go away by itself: authorization, a broken record."""


class PublishError(EngineError):
    """A record could not be published."""


class RedriveError(EngineError):
    """A dead letter does not hold what would be needed to put it back."""
