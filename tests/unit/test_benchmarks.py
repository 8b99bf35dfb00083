"""The benchmarks measure what they say: on a tiny checkpoint, every token written, ratios there, JSON last."""

import json
import random
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from benchmarks import ceilings, hostile, latency, loading, make_checkpoint, roofline, serving, soak, tasks, throughput
from benchmarks.measuring import Answered, ask, picture, quantile, running, spread
from benchmarks.page_client import Lost, Reply, Session, file, functions
from inference.checkpoints import pick_device
from inference.loading import load
from tests.conftest import Served
from tests.support.running import run

LITTLE = ["--device", "cpu", "--matrix-side", "64", "--read-megabytes", "1"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    make_checkpoint.make_checkpoint(make_checkpoint.SIZES["tiny"], folder, dtype="float32")
    return str(folder)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_ceilings_are_given_for_each_dtype(capsys):
    assert ceilings.main([*LITTLE, "--dtype", "float32,bfloat16", "--runs", "1"]) == 0
    figures = last_line(capsys)
    assert [each["dtype"] for each in figures["ceilings"]] == ["float32", "bfloat16"]
    assert all(each["matmul_gflops"] > 0 and each["read_gbs"] > 0 for each in figures["ceilings"])
    assert {"date", "cpu", "gpu", "torch", "transformers"} <= figures["machine"].keys()


def test_latency_holds_every_variant_against_the_first(tiny, capsys):
    flags = ["--model", tiny, "--runs", "2", "--tokens", "5", "--variants", "script,generate,engine"]
    assert latency.main([*LITTLE, *flags]) == 0
    figures = last_line(capsys)
    assert figures["tokens"] == {"describe": 5, "detect": 5, "answer": 3}
    for variant in figures["variants"].values():
        for task, of_task in variant["tasks"].items():
            assert of_task["tokens"] == figures["tokens"][task]
            assert of_task["first_token_s"]["count"] == 2
            assert of_task["first_token_s"]["median"] <= of_task["total_s"]["median"]
            assert of_task["reading_roofline"] >= 0
            assert of_task["token_gb"] >= 0
    assert figures["faster"].keys() == {"generate", "engine"}
    script, engine = figures["variants"]["script"]["tasks"], figures["variants"]["engine"]["tasks"]
    ratio = script["describe"]["total_s"]["median"] / engine["describe"]["total_s"]["median"]
    assert figures["faster"]["engine"]["describe"] == pytest.approx(ratio, abs=0.01)


def test_latency_asks_about_no_picture_twice(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(latency, "picture", lambda seed: seen.append(seed) or picture(seed))
    assert latency.main([*LITTLE, "--model", tiny, "--runs", "2", "--tokens", "2", "--variants", "engine"]) == 0
    assert len(seen) == len(set(seen)) == 1 + 2 * len(latency.PROMPTS)


@pytest.mark.parametrize("variants", ["script,engine", "engine,script"])
def test_a_variant_for_which_memory_ran_out_loses_no_other_figures(tiny, variants, monkeypatch, capsys):
    def fail(*_: object) -> Answered:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(latency, "generate", fail)
    flags = ["--model", tiny, "--runs", "1", "--tokens", "2", "--tasks", "describe", "--variants", variants]
    assert latency.main([*LITTLE, *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert figures["variants"]["script"] == {"failed": "out of memory"}
    assert figures["variants"]["engine"]["tasks"]["describe"]["total_s"]["count"] == 1
    assert figures["faster"] == {}
    assert any(line.startswith("script") and "out of memory" in line for line in lines)


def test_latency_says_when_it_reckoned_the_rest_of_an_answer(tiny, capsys):
    flags = ["--model", tiny, "--runs", "1", "--tokens", "6", "--decode", "2", "--variants", "script", "--tasks"]
    assert latency.main([*LITTLE, *flags, "describe"]) == 0
    out = capsys.readouterr().out
    task = json.loads(out.splitlines()[-1])["variants"]["script"]["tasks"]["describe"]
    assert task["reckoned_after"] == 2
    assert task["tokens"] == 6
    total = task["first_token_s"]["median"] + 5 * task["token_s"]["median"]
    assert task["total_s"]["median"] == pytest.approx(total, abs=1e-4)
    assert "reckoned from fewer tokens" in out


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--variants", "llama"], id="a variant that is none"),
        pytest.param(["--variants", "script:int8"], id="the script quantized"),
        pytest.param(["--tasks", "dance"], id="a task that is none"),
        pytest.param(["--decode", "1"], id="too few tokens for a second one"),
        pytest.param(["--model", "/nowhere"], id="a model that is not there"),
    ],
)
def test_latency_says_what_it_cannot_measure(flags, capsys):
    with pytest.raises(SystemExit) as exit_:
        latency.main([*LITTLE, "--variants", "script", *flags])
    assert exit_.value.code == 2
    assert capsys.readouterr().err


def test_throughput_gives_each_user_a_third_of_each_kind(tiny, capsys):
    flags = ["--model", tiny, "--users", "3", "--rounds", "3", "--repeats", "2"]
    assert throughput.main([*LITTLE, *flags]) == 0
    figures = last_line(capsys)
    for way in ("one_by_one", "together"):
        assert {name: kind["count"] for name, kind in figures[way]["kinds"].items()} == {
            "answer": 4, "detect": 4, "describe": 4,
        }, "each user's first is not timed"  # fmt: skip
        assert all(kind["p50_s"] <= kind["p95_s"] for kind in figures[way]["kinds"].values())
    assert figures["tokens_a_second_ratio"]["median"] > 0
    assert figures["p95_ratio"].keys() == {"answer", "detect", "describe"}
    second = figures["second_task"]
    assert [each["dtype"] for each in figures["ceilings"]] == ["float32", "bfloat16"]
    assert second["second_vision_s"]["median"] < second["first_vision_s"]["median"]


def test_the_engine_writes_the_tokens_that_are_asked_for(tiny):
    loaded = load(tiny, device=pick_device("cpu"), progress=lambda *_: None)
    with running(loaded) as engine:
        answer = ask(engine, picture(1), "detect cat", tokens=7)
    assert answer.tokens == answer.timing.tokens == 7
    assert 0 < answer.first <= answer.total


def test_no_two_pictures_are_the_same():
    assert len({picture(seed).tobytes() for seed in range(20)}) == 20


def test_the_spread_of_a_few_values():
    figures = spread([3.0, 1.0, 2.0, 10.0])
    assert (figures["median"], figures["least"], figures["most"], figures["count"]) == (2.5, 1.0, 10.0, 4)
    assert quantile([0.0, 10.0], 0.95) == pytest.approx(9.5)
    assert Answered(first=1.0, total=4.0, tokens=4).each == 1.0
    assert Answered(first=1.0, total=1.0, tokens=1).each == 0.0


def test_a_3b_takes_the_operations_and_bytes_that_its_shape_says(tmp_path):
    from transformers import PaliGemmaConfig

    values = make_checkpoint.configuration(make_checkpoint.SIZES["3b"], layers=None, dtype="bfloat16")
    (tmp_path / "config.json").write_text(json.dumps(values))
    operations = roofline.reading_operations(PaliGemmaConfig.from_pretrained(tmp_path), tokens=1036)
    assert operations == pytest.approx(0.97e12 + 4.4e12, rel=0.05)


def test_a_token_reads_layers_and_vocabulary_once(tiny):
    model = load(tiny, device=pick_device("cpu"), dtype="float32", progress=lambda *_: None).model
    layers = sum(parameter.nbytes for parameter in model.model.language_model.layers.parameters())
    vocabulary = model.lm_head.weight.nbytes
    text = model.config.text_config
    keys = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * 10 * 4
    assert roofline.token_bytes(model, positions=10, cached_bytes=4) == layers + vocabulary + keys


def test_every_task_is_measured_on_the_embedded_model(capsys):
    assert tasks.main(["--scenes", "1"]) == 0
    figures = last_line(capsys)
    assert {task: figures[task]["count"] for task in tasks.TASKS} == dict.fromkeys(tasks.TASKS, 1)
    assert all(figures[task]["median"] > 0 for task in tasks.TASKS)
    assert figures["machine"]["torch"]


def test_no_task_is_asked_about_a_scene_of_another():
    scenes = [request.image.tobytes() for task in tasks.TASKS for request in tasks.requests(task, 2)]
    assert len(set(scenes)) == 2 * len(tasks.TASKS)


@pytest.mark.parametrize(
    ("dtype", "quantize"),
    [
        pytest.param("float32", "none", id="column after column"),
        pytest.param("bfloat16", "none", id="row after row"),
        pytest.param("float32", "int8", id="int8"),
    ],
)
def test_an_engine_that_fuses_layers_reads_no_more_for_a_token(tiny, dtype, quantize):
    loaded = load(tiny, device=pick_device("cpu"), dtype=dtype, quantize=quantize, progress=lambda *_: None)
    before = roofline.token_bytes(loaded.model, positions=10, cached_bytes=4)
    with running(loaded):
        assert roofline.token_bytes(loaded.model, positions=10, cached_bytes=4) == before


def test_quantized_weights_count_as_weights_of_a_loaded_model(tiny):
    model = load(tiny, device=pick_device("cpu"), quantize="int8", progress=lambda *_: None).model
    read = roofline.token_bytes(model, positions=0, cached_bytes=4)
    seen = sum(parameter.nbytes for parameter in model.model.vision_tower.parameters())
    assert loading.weight_bytes(model) > read + seen


@pytest.mark.parametrize("what", hostile.UPLOADS, ids=str)
def test_what_strangers_upload_can_be_made(what):
    content, name = hostile.UPLOADS[what](random.Random(1))
    assert isinstance(content, bytes)
    assert name


async def reply_of(reply: Reply | Exception | None) -> Reply | None:
    if isinstance(reply, Exception):
        raise reply
    return reply


@pytest.mark.parametrize(
    ("reply", "counted", "failures"),
    [
        pytest.param(Reply([{}], "", 200, 0.1), "answered", 0, id="an answer"),
        pytest.param(Reply(None, "Add a picture first.", 200, 0.1), "refused", 0, id="a sentence"),
        pytest.param(Reply(None, "Queue is full.", 503, 0.1), "refused", 0, id="busy"),
        pytest.param(Reply(None, "Something went wrong: ab12", 200, 0.1), "refused", 1, id="an apology"),
        pytest.param(Reply(None, None, 200, 0.1), "refused", 1, id="nothing said"),
        pytest.param(Reply(None, "Internal", 500, 0.1), "refused", 1, id="an error of the server"),
        pytest.param(None, "left", 0, id="hung up"),
        pytest.param(Lost("no answer in time"), "lost", 1, id="no end"),
        pytest.param(httpx.ReadError("reset"), "lost", 1, id="a broken connection"),
    ],
)
def test_every_question_of_the_soak_is_accounted_for(reply, counted, failures):
    judge = soak.Judge(["Something went wrong"])
    run(judge.ask("a question", reply_of(reply)))
    assert judge.count.asked == getattr(judge.count, counted) == 1
    assert sum(judge.count.failures.values()) == failures


def test_memory_that_grows_after_the_warm_up_shows():
    flat = soak.memory([(float(at), 10**8 + (10**7 if at < 10 else 0)) for at in range(100)], seconds=100)
    grows = soak.memory([(float(at), 10**8 + 10**6 * at) for at in range(100)], seconds=100)
    assert flat["end_over_warm_up"] == 1.0
    assert flat["slope_mb_a_minute"] == pytest.approx(0, abs=0.01)
    assert grows["end_over_warm_up"] > 1.5
    assert grows["slope_mb_a_minute"] == pytest.approx(60, rel=0.01)


def with_session(served: Served, use: Any) -> Any:
    async def used() -> Any:
        async with httpx.AsyncClient(base_url=served.url, timeout=60) as http:
            return await use(Session(http, functions(served.url)))

    return run(used())


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        pytest.param({}, True, id="nothing wrong"),
        pytest.param({"failures": 1}, False, id="a failure"),
        pytest.param({"unaccounted": 1}, False, id="a question that no count has"),
        pytest.param({"errors_in_the_log": 1}, False, id="an error that no visitor saw"),
        pytest.param({"alive_at_the_end": False}, False, id="a dead app"),
    ],
)
def test_a_soak_passes_only_if_nothing_went_wrong(change, passed):
    fine = {"failures": 0, "unaccounted": 0, "errors_in_the_log": 0, "alive_at_the_end": True}
    assert soak.passed(fine | change) is passed


def test_a_visitor_by_plain_http_is_answered(served: Served):
    async def use(session: Session) -> Reply | None:
        uploaded = await session.upload(serving.scene(899), "scene.png")
        assert uploaded.output is not None
        return await session.ask("answer", [file(uploaded.output[0]), *serving.CALLS["answer"]])

    reply = with_session(served, use)
    assert reply.output[0]["task"] == "answer"
    assert 0 < reply.output[0]["timing"]["total"] <= reply.seconds


def test_a_visitor_by_plain_http_reads_the_refusal(served: Served):
    def use(session: Session) -> Awaitable[Reply | None]:
        return session.ask("describe", [None, *serving.CALLS["describe"]])

    assert with_session(served, use).message == "Add a picture first."


def test_a_visitor_who_hangs_up_gets_nothing(served: Served, picture: Path):
    async def use(session: Session) -> Reply | None:
        uploaded = await session.upload(picture.read_bytes(), "picture.png")
        assert uploaded.output is not None
        return await session.ask("describe", [file(uploaded.output[0]), *serving.CALLS["describe"]], leave_after=0.0)

    begin = time.perf_counter()
    assert with_session(served, use) is None
    assert time.perf_counter() - begin < 60


def test_what_is_added_is_the_time_outside_the_engine(served: Served):
    [*answers] = run(serving.by_http(served.url, 1, iter(range(900, 1000))))
    assert [each.task for each in answers] == list(serving.CALLS)
    assert all(0 < each.engine < each.seconds and each.added > 0 and each.upload > 0 for each in answers)


def test_scenes_are_packed_as_pictures():
    import io

    assert Image.open(io.BytesIO(serving.scene(3))).format == "PNG"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_soak_loses_nothing(tmp_path, capsys):
    state = tmp_path / "soak.json"
    flags = ["--clients", "4", "--minutes", "0.05", "--pause", "0.2", "--device", "cpu", "--state", str(state)]
    code = soak.main(flags)
    figures = last_line(capsys)
    assert code == 0, figures["failure_examples"]
    assert figures["asked"] == figures["answered"] + figures["refused_plainly"] + figures["left_midway"] > 0
    assert figures["alive_at_the_end"]
    assert json.loads(state.read_text())["clients"] == 4
