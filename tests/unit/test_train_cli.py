from pathlib import Path

import pytest
import torch

from training import checkpoint, train
from training.saving import save


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of the command."""
    try:
        code = train.main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().err


def one_sentence(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["towre"], "no part 'towre': choose from codec, tower, model, translators", id="unknown part"),
        pytest.param(["model", "--minutes", "0"], "must be greater than 0", id="no time"),
        pytest.param(["model", "--minutes", "ten"], "invalid float value", id="time in words"),
        pytest.param(["model", "--steps", "3", "--minutes", "3"], "not allowed with", id="two lengths"),
        pytest.param(["--scenes", "-1"], "must be greater than 0", id="no pictures"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, error = run(*arguments, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), capsys=capsys)
    assert code == 2
    assert says in error
    assert one_sentence(error)
    assert not any(tmp_path.iterdir())


def test_the_model_without_a_tower_says_what_to_run_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, error = run("model", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), capsys=capsys)
    assert code == 2
    assert "training.train tower" in error
    assert one_sentence(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["no folder", "empty folder", "cut short", "other model"])
def test_a_folder_that_is_no_checkpoint_is_refused(
    damage: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    if damage != "no folder":
        folder.mkdir()
    if damage == "cut short":
        (folder / "config.json").write_text('{"model_type": "paligemma"}')
        (folder / "model.safetensors").write_bytes(b"\x10\x00\x00\x00")
    if damage == "other model":
        (folder / "config.json").write_text('{"model_type": "bert"}')
        (folder / "model.safetensors").write_bytes(b"")
    code, error = run(
        "model", "--init", str(folder), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), capsys=capsys
    )
    assert code == 2
    assert str(folder) in error
    assert one_sentence(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"PK\x03\x04 cut", "cut short or no save", id="cut short"),
        pytest.param(b"", "cut short or no save", id="empty"),
        pytest.param({"part": "codec"}, "not a save of the part 'tower'", id="another part"),
        pytest.param(
            {"part": "tower", "tower": {"x": torch.zeros(2)}, "projector": {}, "heads": {}},
            "another shape",
            id="another shape",
        ),
    ],
)
def test_a_damaged_tower_is_refused_and_left_alone(
    content: bytes | dict, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "tower" / "state.pt"
    path.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save(path, content)
    before = path.read_bytes()
    code, error = run("model", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), capsys=capsys)
    assert code == 2
    assert says in error
    assert one_sentence(error)
    assert path.read_bytes() == before


def test_a_published_folder_gives_its_weights_back(tmp_path: Path) -> None:
    from training import mask_codec

    model, found = checkpoint.fresh(1)
    table = torch.randn(found.size, model.config.text_config.hidden_size).bfloat16().float()
    codec = tmp_path / "codec.npz"
    mask_codec.write(mask_codec.MaskCodec(), codec)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("what it is")
    checkpoint.publish(model, found, table, codec, tmp_path / "out")
    other, _ = checkpoint.fresh(2)
    assert torch.equal(checkpoint.adopt(tmp_path / "out", other, found), table)
    weight = "model.vision_tower.encoder.layers.0.mlp.fc1.weight"
    assert torch.equal(other.state_dict()[weight], model.state_dict()[weight].bfloat16().float())
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 10_000_000
    assert (tmp_path / "out" / "README.md").read_text() == "what it is"
