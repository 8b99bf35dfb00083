"""The trainers of codec, tower and whole model: a few steps of each, begun, interrupted and gone on with."""

from pathlib import Path

import pytest
import torch

from training import train
from training.saving import load


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Runs parts of the training on few pictures; a published checkpoint counts by its number of runs."""
    judged = iter(range(100))
    monkeypatch.setattr(train, "_HELD_OUT_SCENES", 200)
    monkeypatch.setattr(train, "score", lambda folder: (float(next(judged)), {}))

    def run(*arguments: str) -> int:
        folders = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
        sizes = ["--scenes", "48", "--pictures", "4", "--threads", "2", "--workers", "2"]
        threads = torch.get_num_threads()
        try:
            return train.main([*arguments, *folders, *sizes])
        finally:
            torch.set_num_threads(threads)

    return run


def test_every_part_trains_and_goes_on_from_its_save(run, tmp_path: Path) -> None:
    assert run("codec", "tower", "model", "--steps", "2") == 0
    save = tmp_path / "runs" / "model" / "state.pt"
    first = load(save, "model")
    assert first["steps"] == 2
    assert (tmp_path / "out" / train.CHECKPOINT / "model.safetensors").exists()

    assert run("model", "--steps", "3") == 0
    later = load(save, "model")
    assert later["steps"] == 3
    assert any(not torch.equal(first["model"][name], later["model"][name]) for name in first["model"])


def test_a_published_checkpoint_is_gone_on_from_and_its_save_needs_no_telling(run, tmp_path: Path) -> None:
    published = Path(train.__file__).parents[1] / "assets" / train.CHECKPOINT
    assert run("model", "--steps", "1", "--init", str(published)) == 0
    assert run("model", "--steps", "2") == 0
    assert load(tmp_path / "runs" / "model" / "state.pt", "model")["steps"] == 2
