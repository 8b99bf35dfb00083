"""Lines of the log, for people and for machines."""

import json
import logging
import sys

import pytest

from inference.logs import handler


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    trouble = None
    if failed:
        try:
            raise ValueError("broken")
        except ValueError:
            trouble = sys.exc_info()
    return logging.LogRecord("ui.faults", logging.ERROR, "file.py", 1, message, arguments, trouble)


@pytest.mark.parametrize(
    "message", [pytest.param("plain", id="plain"), pytest.param('"quoted"\nand broken – ¿sí?', id="quotes and breaks")]
)
def test_for_machines_each_record_is_one_json_object_on_one_line(message: str) -> None:
    line = handler("json").format(record("%s failed", message))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "ui.faults", f"{message} failed")
    assert told["time"].endswith("+00:00")


def test_a_traceback_stays_with_its_record() -> None:
    line = handler("json").format(record("failed", failed=True))
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["traceback"]


def test_for_people_the_message_stands_in_the_line() -> None:
    assert handler("text").format(record("%d done", 3)).endswith("ERROR    3 done")
