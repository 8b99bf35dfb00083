"""The page in the languages that it speaks: what stands on it, and what the server writes while it answers."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from inference.errors import Busy
from inference.hosting import ModelStatus
from inference.sentences import Sentence
from tests.support.asking import over
from tests.support.serving import StandInHost, StandInPipeline, serve

SPANISH = {
    "locale": "es-MX",
    "tagline": "Pregunta a una imagen",
    "run": "Ejecutar",
    "no_picture": "Primero añade una imagen.",
    "busy": "Ya hay 64 peticiones en espera.",
    "found_nothing": "No encontrado: <i>key</i>.",
    "settings": "Configuración",
}
CHINESE = {
    "locale": "zh-CN",
    "tagline": "向图片提问",
    "run": "运行",
    "no_picture": "请先添加一张图片。",
    "busy": "已有 64 个请求在等待。",
    "found_nothing": "未找到：<i>key</i>。",
    "settings": "设置",
}
BUSY = Busy(Sentence("{count} requests are waiting already. Try again in a minute.", count=64))
FOUND_NOTHING = Sentence("Not found: {names}.", names="<i>key</i>")


def test_who_reads_the_page_in_spanish_reads_answers_in_it_too_in_every_tab(
    visit: Any, url: str, pipeline: StandInPipeline
) -> None:
    page = visit(url, locale="es-ES").page
    for prefix, tab in {"batch-": "Muchas imágenes", "video-": "Vídeo", "": "Una imagen"}.items():
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(f"#{prefix}translate input"), f"the choice of {tab}").to_be_checked()
    expect(page.get_by_label("También en español").first).to_be_checked()
    page.locator(".example").nth(1).click()  # one that has no Spanish of its own
    expect(page.locator("[data-testid=answer][lang=es]")).to_have_text("dos barcos rojos")
    assert pipeline.requests[-1].translate


@pytest.mark.parametrize("words", [SPANISH, CHINESE], ids=["Spanish", "Chinese"])
def test_page_errors_and_problems_speak_the_language_of_the_browser(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path, words: dict[str, str]
) -> None:
    visitor = visit(url, locale=words["locale"])
    page = visitor.page
    expect(page.locator("#head")).to_contain_text(words["tagline"])
    expect(page.locator("footer")).to_contain_text(words["settings"])
    run = page.get_by_role("button", name=words["run"], exact=True)
    with over(page):
        run.click()
    expect(page.locator("#notes")).to_contain_text(words["no_picture"])
    visitor.upload(picture)
    pipeline.failure = BUSY
    run.click()
    expect(page.locator("#notes")).to_contain_text(words["busy"])
    pipeline.failure = None
    pipeline.problems = (FOUND_NOTHING,)
    run.click()
    expect(page.locator("#notes")).to_have_text(words["found_nothing"])


def test_notices_speak_it_too(visit: Any) -> None:
    why = Sentence(
        "The file {path} is damaged: {why}. Copy it again.", path="x", why=Sentence("it is not a safetensors file")
    )
    asked = Sentence("{name} was asked for.", name="demo")
    failed = ModelStatus("big", "failed", detail=why)
    demo = ModelStatus("demo", "ready", detail=asked, embedded=True)
    with serve(StandInPipeline(), StandInHost((demo, failed))) as url:
        banner = visit(url, locale="es-ES").page.locator("#banner")
        expect(banner).to_contain_text(
            "big no está disponible. El archivo x está dañado: no es un archivo safetensors."
        )
        expect(banner).to_contain_text("Se pidió demo.")


def test_what_the_server_writes_follows_a_language_chosen_on_the_page(visit: Any, url: str) -> None:
    page = visit(url).page
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("combobox", name="Language", exact=True).click()
    page.get_by_role("option", name="Español").click()
    expect(page.locator("#head")).to_contain_text("Pregunta a una imagen")
    page.wait_for_function("document.cookie.includes('page_language=es')")
    page.locator("#run").dispatch_event("click")
    expect(page.locator("#notes")).to_contain_text("Primero añade una imagen.")


def test_a_language_that_the_page_does_not_speak_gets_one_language_throughout(
    visit: Any, url: str, pipeline: StandInPipeline, picture: Path
) -> None:
    visitor = visit(url, locale="fr-FR", extra_http_headers={"Accept-Language": "fr,es;q=0.8"})
    pipeline.failure = BUSY
    visitor.upload(picture)
    visitor.page.get_by_role("button", name="Run", exact=True).click()
    expect(visitor.page.locator("#notes")).to_contain_text("64 requests are waiting already.")
