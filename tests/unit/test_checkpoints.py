"""Finding, checking, downloading and loading checkpoints; the hub is a stand-in on loopback."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from benchmarks.make_checkpoint import SIZES, configuration, make_checkpoint
from inference import checkpoints
from inference.checkpoints import (
    CHECKPOINTS,
    FILES,
    choose,
    find,
    pick_device,
    pick_dtype,
)
from inference.decoder import quantized_size
from inference.engine import Engine
from inference.errors import ModelUnavailable
from inference.generation import Token
from inference.hosting import host_models
from inference.hub import Hub, Repository
from inference.loading import LoadedModel, load
from inference.machine import available_memory
from inference.parsing import parse
from inference.settings import Settings
from tests.support.hub import MEMBER, STRANGER, StandInHub

CPU = torch.device("cpu")
NAME = "google/paligemma2-3b-mix-448"
MASK_SPACE = "google/paligemma2-10b-mix"
MASK_FILE = "vae-oid.npz"


def silent(_: float, __: str) -> None:
    return None


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint in float32, never changed by a test."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    make_checkpoint(SIZES["tiny"], folder, dtype="float32")
    write_mask_decoder(folder / MASK_FILE)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may break."""
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture
def stand_in() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


@pytest.fixture
def hub(stand_in: StandInHub, tmp_path: Path) -> Hub:
    """The hub as somebody sees it who is not logged in and has downloaded nothing."""
    return Hub(endpoint=stand_in.url, cache=tmp_path / "cache", token="", timeout=5)


def member(hub: Hub, token: str = MEMBER) -> Hub:
    return Hub(endpoint=hub.endpoint, cache=hub.cache, token=token, timeout=hub.timeout)


def write_mask_decoder(path: Path) -> None:
    """A mask decoder's file with the published arrays' names and shapes, and zeros in it."""
    shapes: dict[str, tuple[int, ...]] = {"_vq_vae._embedding": (128, 512)}
    layers: dict[str, tuple[int, ...]] = {"0": (128, 512, 1, 1), "12": (1, 16, 1, 1)}
    for block in (2, 3):
        layers |= {f"{block}.net.{at}": (128, 128, side, side) for at, side in ((0, 3), (2, 3), (4, 1))}
    for at, (into, out) in {4: (128, 128), 6: (128, 64), 8: (64, 32), 10: (32, 16)}.items():
        layers[str(at)] = (into, out, 4, 4)
    for at, shape in layers.items():
        outputs = shape[1] if at in ("4", "6", "8", "10") else shape[0]  # transposed convolutions have them second
        shapes |= {f"decoder.{at}.weight": shape, f"decoder.{at}.bias": (outputs,)}
    np.savez_compressed(path, **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


def sentence_of(run: Callable[[], object]) -> str:
    """What the user is told, which must read like a sentence and not like a traceback."""
    with pytest.raises(ModelUnavailable) as caught:
        run()
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 450
    assert not re.search(r"Traceback|Error\b|Exception|<class|httpx|Client Error", text), text
    return text


def answer(loaded: LoadedModel) -> list[int]:
    """A few tokens, as transformers itself generates them."""
    return generate(loaded.model, loaded)


def generate(model: PaliGemmaForConditionalGeneration, loaded: LoadedModel) -> list[int]:
    inputs = loaded.processor(
        text="<image>detect cat", images=Image.new("RGB", (40, 30), (200, 40, 40)), return_tensors="pt"
    )
    inputs.pop("labels", None)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    tokens: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens


# Names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("4b", "no model “4b”. It can be auto, demo, 3b, 10b", id="unknown short name"),
        pytest.param("", "no model “”", id="empty"),
        pytest.param("a/b/c", "no model “a/b/c”", id="too many slashes"),
        pytest.param("/no/such/place", "There is no folder /no/such/place", id="absolute path"),
        pytest.param("./no-such", "There is no folder ./no-such", id="relative path"),
        pytest.param("~nobody-here/x", "There is no folder", id="home of nobody"),
        pytest.param(__file__, "is a file; give the folder", id="file"),
        pytest.param("x" * 300, "no model “xxx", id="endless"),
        pytest.param("a\0b", "no model “a", id="null character"),
    ],
)
def test_a_name_that_is_no_model_is_refused_with_what_is_allowed(name: str, says: str) -> None:
    assert says in sentence_of(lambda: find(name))


def test_short_names_and_their_hub_ids_are_the_same_checkpoint() -> None:
    assert find("google/paligemma2-10b-mix-448") is CHECKPOINTS["10b"]
    assert find("3b").name == "paligemma2-3b-mix-448"


def test_a_hub_id_may_name_a_revision() -> None:
    repository = find("someone/tuned@v1.2").repository
    assert repository is not None
    assert (repository.id, repository.revision) == ("someone/tuned", "v1.2")


def test_only_the_demo_is_embedded_and_brings_its_translators() -> None:
    assert [key for key, checkpoint in CHECKPOINTS.items() if checkpoint.embedded] == ["demo"]
    assert Path(CHECKPOINTS["demo"].translators["en-es"]).name == "translation-en-es"
    assert CHECKPOINTS["3b"].translators["es-en"] == "Helsinki-NLP/opus-mt-es-en"


# Loading from a folder


def test_a_folder_is_loaded_ready_to_answer(original: Path, hub: Hub) -> None:
    loaded = load(str(original), device=CPU, progress=silent, hub=hub)
    assert loaded.name == "tiny"
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.parameters == sum(parameter.numel() for parameter in loaded.model.parameters())
    assert (loaded.device, loaded.dtype, loaded.embedded) == (CPU, torch.float32, False)
    assert loaded.mask_decoder is not None
    assert loaded.mask_problem is None
    reference = PaliGemmaForConditionalGeneration.from_pretrained(original, dtype=torch.float32)
    assert answer(loaded) == generate(reference, loaded)


def test_shards_in_bfloat16_load_as_one_file_does(original: Path, tmp_path: Path, hub: Hub) -> None:
    for name, shard_bytes in (("one", 10**9), ("many", 100_000)):
        make_checkpoint(SIZES["tiny"], tmp_path / name, shard_bytes=shard_bytes)
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    one, many = (
        load(str(tmp_path / name), device=CPU, dtype="bfloat16", progress=silent, hub=hub) for name in ("one", "many")
    )
    assert many.dtype == many.model.get_input_embeddings().weight.dtype == torch.bfloat16
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(many.model.state_dict()[name], value, rtol=0, atol=0)


def test_progress_only_grows_and_nothing_else_is_printed(
    original: Path, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[float, str]] = []
    load(str(original), device=CPU, progress=lambda fraction, what: seen.append((fraction, what)), hub=hub)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len(set(fractions)) > 5
    assert any("weights" in what for _, what in seen)
    assert capfd.readouterr() == ("", "")


def test_code_in_a_checkpoint_is_not_run(folder: Path, tmp_path: Path, hub: Hub) -> None:
    marker = tmp_path / "was-run"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Model: pass\n")
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Model", "AutoModel": "evil.Model"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Model", "evil.Model"]})
    edit(folder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "evil.Model"})
    with contextlib.suppress(ModelUnavailable):
        load(str(folder), device=CPU, progress=silent, hub=hub)
    assert not marker.exists()


def edit(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text())
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            values[key] |= value
        else:
            values[key] = value
    path.write_text(json.dumps(values))


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["multi_modal_projector.linear.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def lose_a_shard(folder: Path) -> None:
    make_checkpoint(SIZES["tiny"], folder, shard_bytes=100_000)
    (folder / "model.safetensors").unlink()
    next(iter(sorted(folder.glob("model-*.safetensors")))).unlink()


def grow_tokenizer(folder: Path) -> None:
    edit(folder / "config.json", text_config={"vocab_size": 640})


def another_image_token(folder: Path) -> None:
    edit(folder / "config.json", image_token_index=7)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        pytest.param(lambda f: (f / "config.json").unlink(), "it has no config.json", id="no config"),
        pytest.param(
            lambda f: [(f / n).unlink() for n in ("tokenizer.json", "model.safetensors")],
            "it has no weights (*.safetensors) and tokenizer.json",
            id="no weights, no tokenizer",
        ),
        pytest.param(
            lambda f: (f / "preprocessor_config.json").unlink(), "it has no preprocessor_config.json", id="no processor"
        ),
        pytest.param(lambda f: (f / "config.json").write_text("{"), "config.json of tiny cannot be read", id="no JSON"),
        pytest.param(
            lambda f: (f / "config.json").write_text("[1]"), "config.json of tiny cannot be read", id="a list"
        ),
        pytest.param(
            lambda f: edit(f / "config.json", model_type="llava"), "a model of the kind “llava”", id="another kind"
        ),
        pytest.param(
            lambda f: edit(f / "config.json", text_config={"model_type": "gemma"}),
            "of the first generation with the text model “gemma”",
            id="PaliGemma 1",
        ),
        pytest.param(
            lambda f: edit(f / "config.json", text_config={"num_hidden_layers": "many"}),
            "config.json of tiny has values that are not allowed",
            id="a word for a number",
        ),
        pytest.param(cut_weights, "model.safetensors is damaged: it has", id="weights cut short"),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(b"<html>not found</html>" * 9),
            "is damaged: it is not a safetensors file",
            id="a web page for weights",
        ),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(b""), "it is not a safetensors file", id="empty weights"
        ),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}"),
            "it is not a safetensors file",
            id="weights without weights",
        ),
        pytest.param(lose_a_shard, "weight files of tiny are missing: model-00001-of-", id="a shard missing"),
        pytest.param(lose_a_weight, "lacks 1 of the weights", id="a weight missing"),
        pytest.param(
            lambda f: edit(f / "config.json", text_config={"intermediate_size": 96}),
            "The weights of tiny do not fit its config.json",
            id="weights of another size",
        ),
        pytest.param(grow_tokenizer, "the tokenizer has 1,665 tokens and the model 640", id="too many tokens"),
        pytest.param(another_image_token, "the image token is 1664 to the tokenizer and 7", id="image tokens differ"),
        pytest.param(
            lambda f: edit(f / "preprocessor_config.json", image_seq_length=256),
            "makes 256 image tokens and the model 16",
            id="picture sizes differ",
        ),
        pytest.param(
            lambda f: (f / "tokenizer.json").write_text("{}"),
            "tokenizer or image processor of tiny",
            id="bad tokenizer",
        ),
    ],
)
def test_a_broken_checkpoint_is_refused_with_what_is_wrong(
    folder: Path, hub: Hub, break_it: Callable[[Path], object], says: str
) -> None:
    break_it(folder)
    assert says in sentence_of(lambda: load(str(folder), device=CPU, progress=silent, hub=hub))


def test_a_model_that_the_memory_cannot_hold_is_refused_with_numbers(folder: Path, hub: Hub) -> None:
    edit(folder / "config.json", text_config={"hidden_size": 2**20, "intermediate_size": 2**22})
    said = sentence_of(lambda: load(str(folder), device=CPU, dtype="bfloat16", progress=silent, hub=hub))
    needed = re.search(r"needs about ([\d.]+) GB of memory, and [\d.]+ GB are free on cpu", said)
    assert needed
    # Three matrices of 2^42 in each of two layers are 53 TB in bfloat16.
    assert 53_000 < float(needed[1]) < 70_000


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_the_embedded_checkpoint_can_be_quantized_and_still_knows_its_world(hub: Hub, quantize: str) -> None:
    image = Image.open(checkpoints.CHECKPOINTS["demo"].folder.parent / "examples" / "moons.webp").convert("RGB")
    found = []
    for kind in ("none", quantize):
        loaded = load("demo", device=CPU, quantize=kind, progress=silent, hub=hub)
        engine = Engine(loaded.model, loaded.processor, slots=1)
        text = "".join(event.text for event in engine.submit(image, "detect moon") if isinstance(event, Token))
        engine.close()
        found.append(sorted(thing.box for thing in parse(text, *image.size).detections))

    assert len(found[0]) == len(found[1]) > 0
    assert np.abs(np.subtract(*found)).max() < 0.03 * max(image.size)


def test_sizes_that_cannot_be_quantized_are_refused_before_anything_is_loaded(folder: Path, hub: Hub) -> None:
    edit(folder / "config.json", text_config={"hidden_size": 40})

    said = sentence_of(lambda: load(str(folder), device=CPU, quantize="int4", progress=silent, hub=hub))

    assert "sizes do not allow --quantize int4; try --quantize int8 or none" in said


def test_a_damaged_mask_decoder_costs_the_masks_and_not_the_model(folder: Path, hub: Hub) -> None:
    (folder / MASK_FILE).write_bytes(b"PK\x03\x04 cut short")
    loaded = load(str(folder), device=CPU, progress=silent, hub=hub)
    assert loaded.mask_decoder is None
    assert loaded.mask_problem is not None
    assert loaded.mask_problem.startswith("Masks cannot be drawn, only boxes:")
    assert len(answer(loaded)) == 6


# Memory, devices, dtypes


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        pytest.param(
            {"a/b/memory.max": "3000", "a/b/memory.current": "2500", "a/b/memory.stat": "anon 9\ninactive_file 400"},
            "0::/a/b",
            900,
            id="version 2, cached files give way",
        ),
        pytest.param(
            {
                "a/memory.max": "1000", "a/memory.current": "300", "a/memory.stat": "inactive_file 0",
                "a/b/memory.max": "max", "a/b/memory.current": "300", "a/b/memory.stat": "inactive_file 0",
            },
            "0::/a/b",
            700,
            id="version 2, the limit is further out",
        ),
        pytest.param(
            {"memory.max": "5000", "memory.current": "1000", "memory.stat": "inactive_file 0"},
            "0::/",
            4000,
            id="version 2 in a container",
        ),
        pytest.param(
            {
                "memory/x/memory.limit_in_bytes": "2000", "memory/x/memory.usage_in_bytes": "1500",
                "memory/x/memory.stat": "total_inactive_file 100",
            },
            "7:cpu,cpuacct:/x\n4:memory:/x\n0::/",
            600,
            id="version 1",
        ),
        pytest.param(
            {"memory.max": "100", "memory.current": "300", "memory.stat": "inactive_file 0"},
            "0::/",
            0,
            id="over the limit",
        ),
    ],
)  # fmt: skip
def test_free_memory_is_that_of_the_innermost_container(
    tmp_path: Path, files: dict[str, str], groups: str, expected: int
) -> None:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "self").write_text(groups + "\n")
    assert available_memory(proc=tmp_path / "self", cgroups=tmp_path / "cgroup") == expected


def test_free_memory_is_known_without_containers(tmp_path: Path) -> None:
    assert available_memory(proc=tmp_path / "none", cgroups=tmp_path) > 10_000_000


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        pytest.param("auto", 30e6, torch.float32, id="small stays exact"),
        pytest.param("auto", 3.03e9, torch.bfloat16, id="large reads half as much"),
        pytest.param("float32", 1e15, torch.float32, id="asked for"),
        pytest.param("bfloat16", 1, torch.bfloat16, id="asked for bfloat16"),
        pytest.param("float16", 1, torch.float16, id="asked for float16"),
    ],
)
def test_the_dtype_on_a_cpu(name: str, parameters: float, expected: torch.dtype) -> None:
    assert pick_dtype(name, CPU, parameters=parameters) == expected


def test_the_cpu_can_be_picked() -> None:
    assert pick_device("cpu") == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_a_gpu_that_is_not_there_is_refused(name: str) -> None:
    assert f"--device {name} cannot be" in sentence_of(lambda: pick_device(name))
    assert pick_device("auto") == CPU


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_gets_the_model_straight_in_its_own_dtype(original: Path, hub: Hub) -> None:
    device = pick_device("auto")
    assert (device.type, device.index) == ("cuda", torch.cuda.current_device())
    assert "There is no GPU 99" in sentence_of(lambda: pick_device("cuda:99"))
    loaded = load(str(original), device=device, progress=silent, hub=hub)
    assert {parameter.device for parameter in loaded.model.parameters()} == {device}
    assert loaded.dtype in (torch.bfloat16, torch.float32)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_auto_on_a_gpu_takes_the_largest_that_the_login_reaches(original: Path, stand_in: StandInHub, hub: Hub) -> None:
    device = pick_device("auto")
    for key in ("3b", "10b"):
        repository = CHECKPOINTS[key].repository
        assert repository is not None
        stand_in.add(repository.id, original, gated=True)
    nobody = choose("auto", device=device, hub=hub)
    assert nobody.name == "demo"
    assert "Set HF_TOKEN" in nobody.reason
    stranger = choose("auto", device=device, hub=member(hub, STRANGER))
    assert stranger.name == "demo"
    assert "licence" in stranger.reason
    assert choose("auto", device=device, hub=member(hub)).name in ("3b", "10b")


def test_auto_without_a_gpu_is_the_demo_and_says_so(hub: Hub) -> None:
    choice = choose("auto", device=CPU, hub=hub)
    assert choice.name == "demo"
    assert choice.reason.startswith("No GPU is used")


@pytest.mark.parametrize(
    ("name", "dtype", "quantize", "gigabytes", "chosen"),
    [
        pytest.param("auto", "bfloat16", "none", 24, "10b", id="the largest that fits"),
        pytest.param("auto", "float32", "none", 24, "3b", id="twice the size in float32"),
        pytest.param("auto", "bfloat16", "none", 6, "demo", id="none fits"),
        pytest.param("auto", "bfloat16", "int4", 6, "3b", id="in a few bits one does"),
        pytest.param("auto:int4", "bfloat16", "none", 6, "3b:int4", id="bits behind the name"),
        pytest.param("auto:float32", "bfloat16", "int8", 12, "demo:float32", id="a dtype behind the name"),
    ],
)
def test_auto_reckons_with_the_precision_that_is_asked_for(
    original: Path, stand_in: StandInHub, hub: Hub, name: str, dtype: str, quantize: str, gigabytes: int, chosen: str
) -> None:
    for key in ("3b", "10b"):
        repository = CHECKPOINTS[key].repository
        assert repository is not None
        stand_in.add(repository.id, original, gated=True)
    cuda = torch.device("cuda")
    choice = choose(name, device=cuda, dtype=dtype, quantize=quantize, hub=member(hub), free=gigabytes * 1e9)
    assert choice.name == chosen


@pytest.mark.parametrize("key", ["3b", "10b"])
def test_what_auto_reckons_with_is_what_the_true_shapes_take(tmp_path: Path, key: str) -> None:
    values = configuration(SIZES[key], layers=None, dtype="bfloat16")
    (tmp_path / "config.json").write_text(json.dumps(values))
    with torch.device("meta"):
        model = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_pretrained(tmp_path))
    reckoned = checkpoints._SIZES[key]
    assert reckoned.parameters == pytest.approx(model.num_parameters(), rel=5e-3)
    for kind, size in reckoned.quantized_bytes.items():
        assert (reckoned.quantized, size) == pytest.approx(quantized_size(model, kind), rel=5e-3)


def test_a_repository_of_which_only_the_configuration_is_there_is_not_downloaded(
    original: Path, stand_in: StandInHub, hub: Hub
) -> None:
    stand_in.add("someone/tuned", original)
    repository = find("someone/tuned").repository
    assert repository is not None
    hub.file(repository, "config.json")
    assert hub.cached(repository, patterns=FILES) is None
    hub.checkout(repository, patterns=FILES)
    assert hub.cached(repository, patterns=FILES) is not None


def test_models_that_are_the_same_are_loaded_once() -> None:
    host = host_models(Settings(models=("auto", "demo", "demo:int8"), device="cpu"))
    assert [status.asked for status in host.statuses()] == ["demo", "demo:int8"]


def test_different_models_of_one_name_are_refused(original: Path, tmp_path: Path) -> None:
    other = shutil.copytree(original, tmp_path / original.name)
    settings = Settings(models=(str(original), str(other)), device="cpu")
    assert "are called tiny" in sentence_of(lambda: host_models(settings))


def test_a_name_that_was_asked_for_is_taken(hub: Hub) -> None:
    assert choose("3b", device=CPU, hub=hub).name == "3b"


# Loading from the hub


def test_a_public_repository_is_downloaded_once_with_progress(
    original: Path, stand_in: StandInHub, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    served = stand_in.add("someone/tuned", original)
    served.files |= {"model.bin": b"pickled", "evil.py": b"print()", "README.md": b"# Tuned"}
    seen: list[tuple[float, str]] = []
    loaded = load("someone/tuned", device=CPU, progress=lambda f, what: seen.append((f, what)), hub=hub)
    assert loaded.name == "someone/tuned"
    assert loaded.translators["en-es"] == "Helsinki-NLP/opus-mt-en-es"
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)
    downloading = [what for _, what in seen if what.startswith("Downloading someone/tuned: ")]
    assert len(downloading) >= 2
    assert re.fullmatch(r"Downloading someone/tuned: ([\d.]+ MB) of \1", downloading[-1])
    assert capfd.readouterr() == ("", "")
    names = {path.split("/", 1)[1] for path in stand_in.downloads()}
    assert {"config.json", "model.safetensors", MASK_FILE} <= names
    assert not names & {"model.bin", "evil.py", "README.md"}

    stand_in.requests.clear()
    again = load("someone/tuned", device=CPU, progress=silent, hub=hub)
    assert stand_in.downloads() == []
    stand_in.close()
    offline = load("someone/tuned", device=CPU, progress=silent, hub=hub)
    assert answer(loaded) == answer(again) == answer(offline)


def test_the_licence_of_a_gated_repository_is_asked_for_in_steps(
    original: Path, stand_in: StandInHub, hub: Hub
) -> None:
    stand_in.add(NAME, original, gated=True)
    page = f"{stand_in.url}/{NAME}"

    nobody = sentence_of(lambda: load("3b", device=CPU, progress=silent, hub=hub))
    assert "needs a login: set HF_TOKEN" in nobody
    assert f"accept the licence at {page}" in nobody

    stranger = sentence_of(lambda: load("3b", device=CPU, progress=silent, hub=member(hub, STRANGER)))
    assert "licence" in stranger
    assert f"accept it at {page}" in stranger
    assert "HF_TOKEN" not in stranger

    wrong = sentence_of(lambda: load("3b", device=CPU, progress=silent, hub=member(hub, "hf_expired")))
    assert "access token that is set" in wrong
    assert f"{stand_in.url}/settings/tokens" in wrong

    loaded = load("3b", device=CPU, progress=silent, hub=member(hub))
    assert loaded.name == "paligemma2-3b-mix-448"
    # What is downloaded stays usable after logging out.
    assert load("3b", device=CPU, progress=silent, hub=hub).parameters == loaded.parameters


def serve_gone(stand_in: StandInHub, _: Path) -> None:
    stand_in.add("someone/else", {})


def serve_status(status: int) -> Callable[[StandInHub, Path], None]:
    def serve(stand_in: StandInHub, original: Path) -> None:
        stand_in.add(NAME, original).status = status

    return serve


def serve_slow(stand_in: StandInHub, original: Path) -> None:
    stand_in.add(NAME, original).slow = True


def serve_nothing(stand_in: StandInHub, _: Path) -> None:
    stand_in.close()


def serve_cut(stand_in: StandInHub, original: Path) -> None:
    stand_in.add(NAME, original).cut["model.safetensors"] = "always"


def serve_without_config(stand_in: StandInHub, _: Path) -> None:
    stand_in.add(NAME, {"README.md": b"# Nothing here"})


def serve_too_large(stand_in: StandInHub, original: Path) -> None:
    stand_in.add(NAME, original).claims["model.safetensors"] = 900 * 10**12


@pytest.mark.parametrize(
    ("serve", "token", "says"),
    [
        pytest.param(
            serve_gone, "", "There is no model google/paligemma2-3b-mix-448 that can be seen", id="401, no login"
        ),
        pytest.param(serve_gone, MEMBER, "There is no model google/paligemma2-3b-mix-448 at", id="404, logged in"),
        pytest.param(serve_gone, "hf_expired", "refused the access token", id="404, bad token"),
        pytest.param(serve_status(403), MEMBER, "fine-grained token", id="403 without a gate"),
        pytest.param(serve_status(429), MEMBER, "fewer requests (429)", id="429"),
        pytest.param(serve_status(500), MEMBER, "answered with an error (500)", id="500"),
        pytest.param(serve_status(503), MEMBER, "answered with an error (503)", id="503"),
        pytest.param(serve_slow, MEMBER, "did not answer in time", id="too slow"),
        pytest.param(serve_nothing, MEMBER, "cannot be reached", id="nobody there"),
        pytest.param(serve_cut, MEMBER, "broke off before its end", id="cut short"),
        pytest.param(serve_without_config, MEMBER, "has no file config.json", id="no checkpoint"),
        pytest.param(serve_too_large, MEMBER, "needs 900000.0 GB of disk", id="disk too small"),
    ],
)
def test_each_refusal_of_the_hub_has_its_own_sentence(
    original: Path,
    stand_in: StandInHub,
    hub: Hub,
    serve: Callable[[StandInHub, Path], None],
    token: str,
    says: str,
) -> None:
    serve(stand_in, original)
    patient = Hub(endpoint=hub.endpoint, cache=hub.cache, token=token, timeout=0.5 if serve is serve_slow else 10)
    assert says in sentence_of(lambda: load("3b", device=CPU, progress=silent, hub=patient))


def test_a_revision_that_is_not_there_is_named(original: Path, stand_in: StandInHub, hub: Hub) -> None:
    served = stand_in.add("someone/tuned", original)
    said = sentence_of(lambda: load("someone/tuned@v9", device=CPU, progress=silent, hub=hub))
    assert "someone/tuned has no revision “v9”" in said
    assert load(f"someone/tuned@{served.commit}", device=CPU, progress=silent, hub=hub).parameters > 0


def test_another_kind_of_model_is_refused_before_its_weights_are_downloaded(
    folder: Path, stand_in: StandInHub, hub: Hub
) -> None:
    edit(folder / "config.json", model_type="llava")
    stand_in.add("someone/llava", folder)
    said = sentence_of(lambda: load("someone/llava", device=CPU, progress=silent, hub=hub))
    assert "a model of the kind “llava”" in said
    assert [path.split("/", 1)[1] for path in stand_in.downloads()] == ["config.json"]


def test_a_broken_connection_is_taken_up_again(original: Path, stand_in: StandInHub, hub: Hub) -> None:
    stand_in.add("someone/tuned", original).cut["model.safetensors"] = 1
    assert load("someone/tuned", device=CPU, progress=silent, hub=hub).parameters > 0
    assert sum(path.endswith("model.safetensors") for path in stand_in.downloads()) == 2


def test_a_downloaded_file_that_was_damaged_since_is_named(original: Path, stand_in: StandInHub, hub: Hub) -> None:
    stand_in.add("someone/tuned", original)
    load("someone/tuned", device=CPU, progress=silent, hub=hub)
    (weights,) = hub.folder.glob("models--*/snapshots/*/model.safetensors")
    weights.resolve().write_bytes(weights.read_bytes()[:1000])
    said = sentence_of(lambda: load("someone/tuned", device=CPU, progress=silent, hub=hub))
    assert f"Delete {weights.resolve()} and start again" in said
    weights.resolve().unlink()
    assert load("someone/tuned", device=CPU, progress=silent, hub=hub).parameters > 0


def test_a_wrong_mask_decoder_from_the_hub_is_deleted_and_not_used(
    folder: Path, stand_in: StandInHub, hub: Hub
) -> None:
    (folder / MASK_FILE).rename(folder.parent / MASK_FILE)
    stand_in.add(MASK_SPACE, {MASK_FILE: (folder.parent / MASK_FILE).read_bytes()}, kind="space")
    loaded = load(str(folder), device=CPU, progress=silent, hub=hub)
    assert loaded.mask_decoder is None
    assert "its SHA-256 differs" in (loaded.mask_problem or "")
    assert f"{stand_in.url}/spaces/{MASK_SPACE}" in (loaded.mask_problem or "")
    assert not [path for path in hub.folder.rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_a_file_with_the_expected_hash_is_kept_and_not_asked_for_again(stand_in: StandInHub, hub: Hub) -> None:
    content = b"a mask decoder"
    stand_in.add(MASK_SPACE, {MASK_FILE: content}, kind="space")
    space = Repository(MASK_SPACE, kind="space")
    path = hub.file(space, MASK_FILE, sha256=hashlib.sha256(content).hexdigest())
    assert path.read_bytes() == content
    stand_in.close()
    assert hub.file(space, MASK_FILE, sha256=hashlib.sha256(content).hexdigest()) == path


def test_without_a_mask_decoder_on_the_hub_the_sentence_says_why(folder: Path, stand_in: StandInHub, hub: Hub) -> None:
    (folder / MASK_FILE).unlink()
    missing = load(str(folder), device=CPU, progress=silent, hub=hub).mask_problem or ""
    assert "There is no space google/paligemma2-10b-mix" in missing
    stand_in.close()
    offline = load(str(folder), device=CPU, progress=silent, hub=hub).mask_problem or ""
    assert "cannot be reached" in offline


def test_offline_mode_uses_what_is_downloaded_and_says_so_of_what_is_not(
    original: Path, stand_in: StandInHub, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.add("someone/tuned", original)
    loaded = load("someone/tuned", device=CPU, progress=silent, hub=hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets at the start
    stand_in.requests.clear()
    assert answer(load("someone/tuned", device=CPU, progress=silent, hub=hub)) == answer(loaded)
    said = sentence_of(lambda: load("3b", device=CPU, progress=silent, hub=hub))
    assert "HF_HUB_OFFLINE forbids asking the hub" in said
    assert stand_in.requests == []


def test_the_environment_says_where_the_hub_is_and_who_asks(
    original: Path, stand_in: StandInHub, tmp_path: Path
) -> None:
    stand_in.add(NAME, original, gated=True)
    # What `load` does with a hub is tested above; only to find the hub needs no torch, whose import takes seconds.
    script = (
        "from inference.hub import Hub, Repository\n"
        f"print(Hub().checkout(Repository({NAME!r}), patterns=['*.json', '*.safetensors']))\n"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_ENDPOINT": stand_in.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": MEMBER}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept | settings,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path / "home" / "hub")
    assert {path.name for path in folder.glob("*.json")} >= {"config.json", "tokenizer.json"}
    assert list(folder.glob("*.safetensors"))
