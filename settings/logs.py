"""Logs: one line an event, as text or JSON, on standard error."""

from __future__ import annotations

import logging
import sys
import time

import structlog

from settings.model import Settings

REPEATS_MAX_MINUTE = 20
"""Lines of one place in the code per minute; Kafka clients log thousands while a broker is away."""
_NOISY = ("aiokafka", "faust", "mode", "kafka")


_LAST = "last_of_this_minute"


class RepeatFilter(logging.Filter):
    """Lets a place in the code log so many lines a minute and no more; marks the last of them."""

    def __init__(self) -> None:
        super().__init__()
        self._window: dict[tuple[str, int], tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is let through."""
        minute = int(time.monotonic() // 60)
        place = (record.pathname, record.lineno)
        since, count = self._window.get(place, (minute, 0))
        count = count + 1 if since == minute else 1
        self._window[place] = (minute, count)
        if count == REPEATS_MAX_MINUTE:
            vars(record)[_LAST] = True
        return count <= REPEATS_MAX_MINUTE


def tell_last(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say so in the last line that a place may log in this minute: counts are not for the log."""
    if _LAST in vars(event["_record"]):
        event["more"] = "left out until the minute is over"
    return event


def set_up_logs(settings: Settings) -> None:
    """Send our logs and those of the libraries to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                tell_last,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(
            max(logging.WARNING, logging.getLevelName(settings.log_level))
        )
