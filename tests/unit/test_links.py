"""What an address may give to the form: the fields of a task that there is, each checked."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from ui.links import fields_of

MODELS = {"3b": "paligemma2-3b-mix-448", "demo": "demo"}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param(
            "tab=ask&task=detect&objects=star%20;%20<b>heart</b>&typed_in_spanish=1&translate=1&max_tokens=64",
            {
                "task": "detect",
                "objects": "star ; <b>heart</b>",
                "typed_in_spanish": True,
                "translate": True,
                "max_tokens": 64,
            },
            id="things",
        ),
        pytest.param(
            "task=describe&length=long&language=es&model=3b",
            {"task": "describe", "length": "long", "language": "es", "model": "paligemma2-3b-mix-448"},
            id="choices",
        ),
        pytest.param("task=answer&question=" + "x" * 1000, {"task": "answer", "question": "x" * 1000}, id="a text"),
        pytest.param("task=describe&translate=0", {"task": "describe", "translate": False}, id="a switch"),
    ],
)
def test_an_address_gives_a_task_its_fields(query: str, fields: dict[str, Any]) -> None:
    assert fields_of(dict(parse_qsl(query)), models=MODELS) == fields


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        pytest.param("objects=x&max_tokens=64", {}, id="no task"),
        pytest.param("task=nothing&objects=x", {}, id="an unknown task"),
        pytest.param("task=<script>document.title='x'</script>", {}, id="a script"),
        pytest.param("task=describe&length=enormous", {"task": "describe"}, id="an unknown length"),
        pytest.param("task=describe&language=klingon", {"task": "describe"}, id="an unknown language"),
        pytest.param("task=describe&model=other", {"task": "describe"}, id="an unknown model"),
        pytest.param("task=describe&max_tokens=99999", {"task": "describe"}, id="too many tokens"),
        pytest.param("task=describe&max_tokens=000000999999", {"task": "describe"}, id="too many behind zeros"),
        pytest.param("task=describe&max_tokens=" + "0" * 5000, {"task": "describe"}, id="endless zeros"),
        pytest.param("task=describe&max_tokens=-1", {"task": "describe"}, id="fewer tokens than none"),
        pytest.param("task=describe&max_tokens=1e3", {"task": "describe"}, id="an exponent"),
        pytest.param("task=describe&max_tokens=٦٤", {"task": "describe"}, id="digits of another script"),
        pytest.param("task=describe&translate=maybe", {"task": "describe", "translate": False}, id="half a switch"),
        pytest.param("task=answer&question=" + "x" * 1001, {"task": "answer"}, id="too long a text"),
        pytest.param("task=describe&question=x", {"task": "describe"}, id="a text that the task does not have"),
        pytest.param("task=describe&image=/etc/passwd", {"task": "describe"}, id="a picture"),
    ],
)
def test_what_is_not_known_or_not_allowed_in_an_address_is_left_out(query: str, fields: dict[str, Any]) -> None:
    assert fields_of(dict(parse_qsl(query)), models=MODELS) == fields
