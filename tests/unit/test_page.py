"""What of the settings the page and its server are built with."""

from typing import Any

import pytest

from inference.settings import Settings
from tests.support.serving import StandInHost, StandInPipeline
from ui import page, service
from ui.batch import BatchTab
from ui.context import Context
from ui.door import Page, UploadDoor

SERVED = {"host": "0.0.0.0", "port": 80, "share": True}


def built(settings: Settings) -> Page:
    return page.build(StandInPipeline(), StandInHost(), settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param({"max_upload_mb": 2, "max_video_mb": 3}, {"max_file_size": "3072kb"}, id="clips are larger"),
        pytest.param({"max_upload_mb": 5, "max_video_mb": 3}, {"max_file_size": "5120kb"}, id="pictures are larger"),
        pytest.param(
            {"max_queue": 5, "models": ("a", "b")}, {"max_threads": 10 + service.SPARE_THREADS}, id="all may wait"
        ),
        pytest.param(SERVED, {"server_name": "0.0.0.0", "server_port": 80, "share": True, "auth": None}, id="place"),
    ],
)
def test_the_server_is_started_as_the_settings_say(settings: dict[str, Any], options: dict[str, Any]) -> None:
    chosen = Settings(**settings)
    launched = page.launch_options(chosen, built(chosen))
    assert {name: launched[name] for name in options} == options


def test_the_door_for_uploads_has_the_same_limit() -> None:
    settings = Settings(max_upload_mb=2, max_video_mb=3)
    layers = page.launch_options(settings, built(settings))["app_kwargs"]["middleware"]
    assert [layer.kwargs["max_megabytes"] for layer in layers if layer.cls is UploadDoor] == [3]


def test_pictures_have_a_limit_and_few_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[Context] = []

    def tab(context: Context) -> page.Tab:
        contexts.append(context)
        return BatchTab(context)

    monkeypatch.setattr(page, "TABS", {"batch": tab})
    built(Settings(max_upload_mb=2))
    [context] = contexts
    assert context.limits.max_megabytes == 2
    decoding = context.limits.decoding
    assert decoding is not None
    assert [decoding.acquire(blocking=False) for _ in range(page.DECODED_AT_ONCE + 1)] == [True, True, False]
