"""How lines of the log look: for people, or as JSON for machines.

Knows log records. Sets nothing up by itself.
"""

import json
import logging
from datetime import UTC, datetime

from inference.settings import LogFormat


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, the logger's name, the message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def handler(style: LogFormat) -> logging.Handler:
    """What writes the log to stderr in this style."""
    stream = logging.StreamHandler()
    people = logging.Formatter("%(asctime)s  %(levelname)-7s  %(message)s", datefmt="%H:%M:%S")
    stream.setFormatter(JsonLines() if style == "json" else people)
    return stream
