"""What is said: structlog for ours, the same form for the libraries', one line an event, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog

from streams.engine.errors import EngineError
from streams.settings import LogSettings

_LIBRARY_LEVELS: Final = {
    # Not below, whatever `log.level` says: at debug it prints every request, a password of SASL PLAIN among them.
    "aiokafka": logging.WARNING,
    "aiokafka.consumer.group_coordinator": logging.ERROR,  # warns at every rebalance; we count those
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    # At info they print every address whole, with the token or the password that a webhook's may hold.
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
}
_EXPECTED: Final = (
    # A broker without producer ids; the engine falls back or refuses, and says so itself.
    "Unexpected error during InitProducerIdRequest",
    # The first group of a new broker: its coordinator is being made.
    "Group Coordinator Request failed: [Error 15]",
)


class _Expected(logging.Filter):
    """Leaves out what a library reports as an error and the engine has an answer to, and traces that add nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], EngineError):
            record.exc_info = None  # its message was written for people
        return not record.getMessage().startswith(_EXPECTED)


def configure(settings: LogSettings) -> None:
    """Set up logging for this process; call it once, first."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        # Plain traces: the pretty ones print local variables, and those hold settings and events.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:-1],
            structlog.processors.format_exc_info if settings.format == "json" else _unchanged,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_Expected())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name, level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)


def _unchanged(_logger: Any, _method: str, event: Any) -> Any:
    return event
