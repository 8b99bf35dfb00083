"""What axe-core finds on the page: nothing serious on any tab, in light and dark, on a wide and on a narrow screen.

axe-core comes with the package axe-playwright-python: `make test` then needs Python alone, and no Node.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from inference.hosting import ModelStatus
from tests.support.serving import READY, StandInHost, StandInPipeline, serve, thing

NAMES = {"ask": "One picture", "batch": "Many pictures", "video": "Video", "compare": "Compare"}
SCREENS = {"wide": (1280, 900), "narrow": (390, 844)}
GRAVE = ("serious", "critical")

COLOURED = ("color-contrast", "link-in-text-block")
"""The rules that a colour scheme has a say in."""

GRADIOS_OWN: dict[tuple[str, str], str] = {
    ("nested-interactive", 'button[aria-label="Click to Upload"]'): "the gallery puts its upload button into another",
}
"""Rule and part of the address of an element -> why it cannot be mended from outside gradio."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pipeline = StandInPipeline(
        things=(thing("boat", (10, 10, 40, 40), 0.9, translated_label="barco"), thing("cup", (50, 20, 90, 70), 0.3)),
        problems=("One object was cut off.",),
    )
    statuses = (
        replace(READY, embedded=True, detail="No GPU was found."),
        ModelStatus("other", "failed", detail="Accept the licence."),
    )
    with serve(pipeline, StandInHost(statuses)) as address:
        yield address


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two seconds."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 100, 80, "yuv420p"
        for number in range(8):
            picture = np.full((80, 100, 3), 30 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def ask(page: Page, picture: Path, clip: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(picture)
    expect(page.locator("#picture img")).to_be_visible()
    page.locator("#run").click()
    expect(page.locator("[data-testid=answer], [data-testid=things]").first).to_be_visible()
    page.locator("#task").get_by_role("radio", name="Outline", exact=True).check()
    page.locator("#objects textarea, #objects input").first.fill("boat ; cup")
    page.locator("#translate input").check()
    page.locator("#run").click()
    expect(page.locator("[data-testid=things] tbody tr")).to_have_count(2)
    expect(page.locator("#stop")).not_to_be_visible()
    page.locator("#advanced button").first.click()
    page.locator("#details button").first.click()


def batch(page: Page, picture: Path, clip: Path) -> None:
    page.locator("#batch-pictures input[type=file]").set_input_files([picture])
    expect(page.locator("#batch-pictures img").first).to_be_visible()
    run(page, "batch")


def video(page: Page, picture: Path, clip: Path) -> None:
    page.locator("#video-clip input[type=file]").set_input_files(clip)
    run(page, "video")


def compare(page: Page, picture: Path, clip: Path) -> None:
    page.locator("#compare-picture input[type=file]").set_input_files(picture)
    expect(page.locator("#compare-picture img")).to_be_visible()
    run(page, "compare")


def run(page: Page, tab: str) -> None:
    page.locator(f"#{tab}-run").click()
    expect(page.locator(f"#{tab}-stop")).not_to_be_visible()
    expect(page.locator(f"#{tab}-run")).to_be_enabled()
    expect(page.locator(RESULTS[tab]).first).to_be_visible()


RESULTS = {"batch": "#batch-pack", "video": "#video-downloads", "compare": "[data-testid=timings]"}
ACTIONS: dict[str, Callable[[Page, Path, Path], None]] = {
    "ask": ask, "batch": batch, "video": video, "compare": compare,
}  # fmt: skip


def faults(page: Page, *, rules: tuple[str, ...] = ()) -> list[str]:
    """What is gravely wrong, one line an element; by all rules or by some."""
    # Whatever fades in has another contrast on its way.
    page.wait_for_function("document.getAnimations().every((each) => each.playState !== 'running' || "
                           "each.effect.getTiming().iterations === Infinity)")  # fmt: skip
    options: dict[str, Any] = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(map(str, node['target']))}\n    {node['html'][:200]}\n"
        f"    {node['failureSummary'].splitlines()[-1].strip()}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
        if not any(rule["id"] == known and part in " ".join(map(str, node["target"])) for known, part in GRADIOS_OWN)
    ]


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_grave(visit: Any, url: str, picture: Path, clip: Path, screen: str) -> None:
    width, height = SCREENS[screen]
    page = visit(url, viewport={"width": width, "height": height}).page
    found: dict[tuple[str, ...], list[str]] = {}

    def look(tab: str, when: str, *schemes: str) -> None:
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            expect(page.locator("body.dark")).to_have_count(int(scheme == "dark"))
            found[tab, when, scheme] = faults(page, rules=COLOURED if scheme == "dark" else ())

    for tab, name in NAMES.items():
        open_tab(page, name)
        # Nearly all colours of the dark are the same on every screen; what is not is there with an answer too.
        look(tab, "before anything is asked", *(("light", "dark") if screen == "wide" else ("light",)))
        ACTIONS[tab](page, picture, clip)
        look(tab, "with an answer", "light", "dark")
    assert {where: what for where, what in found.items() if what} == {}
    assert len(found) == {"wide": 16, "narrow": 12}[screen]


def open_tab(page: Page, name: str) -> None:
    """Opens a tab, which may hide in a menu where the screen is narrow."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.first.is_visible():
        page.locator(".overflow-menu button").first.click()
        tab = page.locator(".overflow-dropdown").get_by_role("button", name=name)
    tab.first.click()
