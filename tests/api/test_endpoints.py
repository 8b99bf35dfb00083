"""Every endpoint as people call it: through gradio_client and over plain HTTP."""

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageChops
from pycocotools import mask as coco
from pycocotools.coco import COCO

from tests.conftest import Served
from ui.examples import CLIP

ROOT = Path(__file__).resolve().parents[2]
KEYS = ["task", "model", "prompt", "raw", "text", "translation", "detections", "image", "problems", "timing"]
TIMING = ["queue", "vision", "prefill", "decode", "total", "tokens", "cached"]
SIGNATURES = {
    "/describe": ["image", "length", "language", "translate", "model"],
    "/read_text": ["image", "translate", "model"],
    "/answer": ["image", "question", "language", "translate", "input_language", "model"],
    "/ask": ["image", "answer", "language", "translate", "input_language", "model"],
    "/detect": ["image", "objects", "translate", "input_language", "model"],
    "/segment": ["image", "objects", "translate", "input_language", "model"],
    "/prompt": ["image", "prompt", "translate", "model"],
}
EXPORT = ["image", "result", "format"]
VIDEO = ["video", "task", "text", "frames", "translate", "model"]
NEEDED = {
    "/answer": {"question": "What is in the picture?"},
    "/ask": {"answer": "two"},
    "/detect": {"objects": "moon ; house"},
    "/segment": {"objects": "moon ; house"},
    "/prompt": {"prompt": "cap en"},
}


def ask(client: Client, endpoint: str, image: Path, **fields: Any) -> tuple[dict[str, Any], str | None]:
    answer, drawn = client.predict(handle_file(str(image)), **NEEDED.get(endpoint, {}) | fields, api_name=endpoint)
    return answer, drawn


def test_the_api_has_these_endpoints_with_these_parameters_and_no_others(client: Client) -> None:
    info = client.view_api(return_format="dict", print_info=False)
    found = {
        name: [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        for name, endpoint in info["named_endpoints"].items()
    }
    assert found == SIGNATURES | {"/export": EXPORT, "/video": VIDEO}
    assert not info["unnamed_endpoints"]


def test_every_endpoint_and_parameter_is_documented(served: Served) -> None:
    info = httpx.get(f"{served.url}gradio_api/info").json()
    for name, endpoint in info["named_endpoints"].items():
        assert endpoint["description"], name


@pytest.fixture(scope="module")
def snippets(served: Served) -> dict[str, dict[str, str]]:
    """The code that “Use via API” shows, by endpoint and language."""
    info = httpx.get(f"{served.url}gradio_api/info").json()
    return {name: endpoint["code_snippets"] for name, endpoint in info["named_endpoints"].items()}


@pytest.mark.parametrize("endpoint", [*SIGNATURES, "/export", "/video"])
def test_the_code_in_the_documentation_runs_as_it_is_copied_in_the_folder_of_the_repository(
    client: Client, snippets: dict[str, dict[str, str]], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(snippets[endpoint]["python"], names)
    assert names["result"]
    _, _, payload = snippets[endpoint]["cli"].partition("'")
    assert client.predict(**json.loads(payload.strip().removesuffix("'")), api_name=endpoint)


def test_no_code_in_the_documentation_names_a_file_on_the_web(
    snippets: dict[str, dict[str, str]], served: Served
) -> None:
    shown = json.dumps(snippets).replace(served.url.rstrip("/"), "")
    assert "http://" not in shown
    assert "https://" not in shown


@pytest.mark.parametrize("endpoint", SIGNATURES)
def test_an_endpoint_answers_with_the_documented_json(
    client: Client, served: Served, examples: Path, endpoint: str
) -> None:
    answer, _ = ask(client, endpoint, examples / "moons.webp")
    assert list(answer) == KEYS
    assert list(answer["timing"]) == TIMING
    assert answer["task"] == endpoint.removeprefix("/")
    assert answer["model"] == served.model
    assert answer["image"] == {"width": 672, "height": 672}
    assert answer["translation"] is None
    assert isinstance(answer["timing"]["tokens"], int)


@pytest.mark.parametrize("endpoint", ["/describe", "/read_text", "/answer", "/ask"])
def test_a_task_of_words_draws_nothing(client: Client, examples: Path, endpoint: str) -> None:
    answer, drawn = ask(client, endpoint, examples / "moons.webp")
    assert drawn is None
    assert answer["detections"] == []


@pytest.mark.parametrize("endpoint", ["/detect", "/segment"])
def test_what_is_found_lies_in_the_picture_and_is_drawn_at_its_size(
    client: Client, examples: Path, endpoint: str
) -> None:
    answer, drawn = ask(client, endpoint, examples / "moons.webp")
    assert answer["detections"]
    for found in answer["detections"]:
        assert list(found) == ["label", "translated_label", "box", "score", "mask"]
        left, top, right, bottom = found["box"]
        assert 0 <= left < right <= 672
        assert 0 <= top < bottom <= 672
        assert 0 <= found["score"] <= 1
        if endpoint == "/segment":
            assert found["mask"]["size"] == [672, 672]
        else:
            assert found["mask"] is None
    assert drawn is not None
    assert Image.open(drawn).size == (672, 672)


def test_spanish_comes_beside_the_english_answer(client: Client, examples: Path) -> None:
    answer, _ = ask(client, "/describe", examples / "moons.webp", translate=True)
    assert answer["translation"]["language"] == "es"
    assert answer["translation"]["text"]
    assert answer["translation"]["text"] != answer["text"]


def test_labels_are_translated_too(client: Client, examples: Path) -> None:
    answer, _ = ask(client, "/detect", examples / "moons.webp", translate=True)
    assert {found["translated_label"] for found in answer["detections"]} <= {"luna", "casa"}


def test_a_question_may_be_in_spanish(client: Client, examples: Path) -> None:
    question = "¿Cuántas lunas hay?"
    answer, _ = ask(client, "/answer", examples / "moons.webp", question=question, input_language="es")
    assert "moons" in answer["prompt"]
    assert question not in answer["prompt"]


@pytest.mark.parametrize(("length", "prefix"), [("short", "cap"), ("medium", "caption"), ("long", "describe")])
def test_the_length_chooses_the_prefix(client: Client, examples: Path, length: str, prefix: str) -> None:
    answer, _ = ask(client, "/describe", examples / "star.webp", length=length)
    assert answer["prompt"] == f"{prefix} en"


def test_plain_http_gives_the_same_answer(served: Served, client: Client, examples: Path) -> None:
    picture = examples / "welcome.webp"
    with httpx.Client(base_url=f"{served.url}gradio_api/", timeout=60) as http, picture.open("rb") as file:
        path = http.post("upload", files={"files": file}).json()[0]
        image = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = http.post("call/read_text", json={"data": [image, False, ""]}).json()["event_id"]
        stream = http.get(f"call/read_text/{event}").text
    data = next(line for line in stream.splitlines() if line.startswith("data: ") and "timing" in line)
    answer, drawn = json.loads(data.removeprefix("data: "))
    assert drawn is None
    assert answer["text"] == ask(client, "/read_text", picture)[0]["text"]


def test_a_direct_post_cannot_go_round_the_queue(served: Served) -> None:
    assert httpx.post(f"{served.url}gradio_api/run/read_text", json={"data": [None, False, ""]}).status_code == 404


@pytest.fixture(scope="module")
def outlined(client: Client, examples: Path) -> dict[str, Any]:
    """What the model found in an example, with masks."""
    return ask(client, "/segment", examples / "moons.webp")[0]


def export(client: Client, image: Path, result: Any, wanted: str) -> Path:
    return Path(client.predict(handle_file(str(image)), result, wanted, api_name="/export"))


def test_a_coco_file_of_a_result_loads_with_areas_and_masks(
    client: Client, examples: Path, outlined: dict[str, Any]
) -> None:
    path = export(client, examples / "moons.webp", outlined, "coco")
    dataset = COCO(str(path))
    annotations = dataset.loadAnns(dataset.getAnnIds())
    assert len(annotations) == len(outlined["detections"])
    for annotation, found in zip(annotations, outlined["detections"], strict=True):
        mask = coco.decode(found["mask"])
        assert np.array_equal(dataset.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum() > 0
        left, top, right, bottom = found["box"]
        assert annotation["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.02)
    (image,) = dataset.loadImgs(dataset.getImgIds())
    assert (image["width"], image["height"]) == (672, 672)


def test_the_zip_of_a_result_holds_every_format(client: Client, examples: Path, outlined: dict[str, Any]) -> None:
    with zipfile.ZipFile(export(client, examples / "moons.webp", outlined, "zip")) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        kept = json.loads(archive.read("json/moons.json"))
    assert {"drawn/moons.png", "json/moons.json", "coco.json", "yolo/data.yaml", "yolo/boxes/moons.txt"} <= names
    assert {"yolo/segments/moons.txt", "results.csv", "masks/moons/index.png"} <= names
    assert kept["detections"] == outlined["detections"]


def test_the_png_of_a_result_is_the_drawing_at_full_size(
    client: Client, examples: Path, outlined: dict[str, Any]
) -> None:
    path = export(client, examples / "moons.webp", outlined, "png")
    drawn, before = Image.open(path), Image.open(examples / "moons.webp")
    assert (path.name, drawn.format, drawn.size) == ("moons-drawn.png", "PNG", (672, 672))
    assert ImageChops.difference(drawn.convert("RGB"), before.convert("RGB")).getbbox()


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("masks", "moons-masks.zip"), ("json", "moons.json"), ("coco", "moons-coco.json"), ("yolo", "moons-yolo.zip"),
     ("csv", "moons.csv"), ("zip", "moons.zip")],
)  # fmt: skip
def test_a_file_is_named_after_its_picture(
    client: Client, examples: Path, outlined: dict[str, Any], wanted: str, name: str
) -> None:
    assert export(client, examples / "moons.webp", outlined, wanted).name == name


def test_an_answer_in_words_is_written_too(client: Client, examples: Path) -> None:
    answer, _ = ask(client, "/read_text", examples / "welcome.webp")
    kept = json.loads(export(client, examples / "welcome.webp", answer, "json").read_text("utf-8"))
    assert kept["text"] == answer["text"]


@pytest.mark.parametrize(
    ("change", "wanted", "sentence"),
    [
        pytest.param({}, "pdf", "It can be png, masks, json, coco, yolo, csv, zip.", id="unknown format"),
        pytest.param({}, None, "Unknown format", id="null format"),
        pytest.param({"image": {"width": 10, "height": 10}, "detections": []}, "zip", "another size", id="other size"),
        pytest.param({"detections": "all"}, "zip", "“detections” is missing or not", id="hostile detections"),
        pytest.param({"task": "describe", "detections": []}, "coco", "in words only", id="COCO of words"),
        pytest.param({"detections": []}, "masks", "This result has no masks.", id="masks of nothing"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_a_sentence(
    client: Client, examples: Path, outlined: dict[str, Any], change: dict[str, Any], wanted: Any, sentence: str
) -> None:
    with pytest.raises(AppError) as caught:
        export(client, examples / "moons.webp", outlined | change, wanted)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", [None, [], {}, 7, "moon", {"image": {}}], ids=repr)
def test_whatever_comes_as_a_result_a_sentence_goes_out(client: Client, examples: Path, value: Any) -> None:
    with pytest.raises(AppError) as caught:
        export(client, examples / "moons.webp", value, "zip")
    assert "Something went wrong on our side" not in str(caught.value)
    assert "upstream Gradio app" not in str(caught.value)


@pytest.mark.parametrize("endpoint", [*SIGNATURES, "/export", "/video"])
def test_who_reads_the_documentation_learns_that_addresses_are_refused(client: Client, endpoint: str) -> None:
    file, *_ = client.view_api(return_format="dict", print_info=False)["named_endpoints"][endpoint]["parameters"]
    assert file["python_type"]["description"] == "A local file; web addresses are refused."


def test_a_clip_is_answered_frame_by_frame_with_subtitles_in_both_languages(client: Client) -> None:
    told = client.predict(handle_file(str(CLIP)), "detect", "fish ; star", 4, True, api_name="/video")

    times = [frame["time"] for frame in told["frames"]]
    assert len(times) == 4
    assert times == sorted(set(times))
    assert times[0] == 0
    assert times[-1] < told["seconds"]
    assert all(frame["error"] is None and frame["result"]["task"] == "detect" for frame in told["frames"])
    found = {thing["label"] for frame in told["frames"] for thing in frame["result"]["detections"]}
    assert found <= {"fish", "star"}
    assert found
    for language, words in (("en", found), ("es", {"pez", "estrella"})):
        assert told["subtitles"][language]["vtt"].startswith("WEBVTT")
        assert told["subtitles"][language]["srt"].startswith("1\n00:00:")
        assert any(word in told["subtitles"][language]["srt"] for word in words), told["subtitles"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"task": "segment"}, "thing to look for", id="no objects"),
        pytest.param({"task": "dance"}, "Unknown task", id="unknown task"),
        pytest.param({"task": "ask"}, "Unknown task", id="a task that makes no sense over time"),
        pytest.param({"frames": 0}, "from 1 to 32", id="no frames"),
        pytest.param({"frames": 1000}, "from 1 to 32", id="too many frames"),
        pytest.param({"video": "picture"}, "video", id="a picture"),
        pytest.param({"video": None}, "Add a clip", id="nothing"),
        pytest.param({"model": "gpt"}, "model", id="unknown model"),
    ],
)
def test_what_cannot_be_asked_about_a_clip_is_refused_by_a_sentence(
    client: Client, picture: Path, fields: dict[str, Any], message: str
) -> None:
    video = {"clip": handle_file(str(CLIP)), "picture": handle_file(str(picture))}.get(fields.get("video", "clip"))
    asked = {"task": "describe", "text": "", "frames": 2, "translate": False, "model": ""} | fields
    asked.pop("video", None)
    with pytest.raises(AppError, match=message):
        client.predict(video, *asked.values(), api_name="/video")
