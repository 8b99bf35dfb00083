"""The command that trains the embedded checkpoint: `python -m training.train [part ...]`.

Knows the parts, their order, where their saves lie and what to say when something is off. The training itself is in
the modules that it calls.
"""

import argparse
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypedDict

import numpy as np
import torch
from transformers import PaliGemmaForConditionalGeneration
from transformers.utils import logging as transformers_logging

from inference.errors import UserError
from inference.machine import available_cores
from training import checkpoint, finetune, mask_codec, pool, pretrain, scenes, translators
from training.dense import Heads
from training.evaluate import Metric, score
from training.examples import Examples
from training.finetune import Vocabulary
from training.saving import TrainingError, load
from training.tokenizer import Inventory

LOG = logging.getLogger(__name__)
CHECKPOINT = "paligemma2-demo"
_HELD_OUT_SCENES = 1000
_TOWER_BATCH = 96


class Length(TypedDict):
    """How long a part trains: one of the two."""

    steps: int | None
    minutes: float | None


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        runs: Folder of unfinished work: drawn pictures and saves.
        out: Folder that the finished checkpoints go to, one folder each.
        init: A published checkpoint to go on from where there is no save, or None.
        minutes, steps: How long each part trains in all, earlier runs included; None for its own time.
        scenes: How many pictures are drawn for training.
        workers: Processes that draw.
        threads: Processor threads that train.
        device: Where the whole model trains: "cpu", "cuda".
        seed: The same seed gives the same data.
        rate: Multiplies the whole model's learning rates.
        pictures: Pictures in a step of the whole model.
    """

    runs: Path
    out: Path
    init: Path | None
    minutes: float | None
    steps: int | None
    scenes: int
    workers: int
    threads: int
    device: str
    seed: int
    rate: float
    pictures: int

    def length(self, minutes: float) -> Length:
        """Steps and minutes of a part whose own time is `minutes`."""
        if self.steps is not None:
            return {"steps": self.steps, "minutes": None}
        return {"steps": None, "minutes": self.minutes if self.minutes is not None else minutes}


def train_codec(options: Options) -> None:
    """Trains the mask codec on silhouettes."""
    drawn, held_out = _pools(options)
    mask_codec.train(
        drawn,
        held_out,
        path=_save_of(options, "codec"),
        out=_codec_file(options),
        batch=64,
        seed=options.seed,
        **options.length(15),
    )


def train_tower(options: Options) -> None:
    """Trains the vision tower patch by patch; knows mask codes if the codec is trained already."""
    drawn, held_out = _pools(options)
    model, _ = checkpoint.fresh(options.seed)
    pretrain.train(
        model,
        drawn,
        held_out,
        path=_save_of(options, "tower"),
        seed=options.seed,
        codes=_codes(options, drawn, "pool"),
        held_out_codes=_codes(options, held_out, "pool-held-out"),
        lanes=min(options.threads, _TOWER_BATCH),
        batch=_TOWER_BATCH,
        **options.length(40),
    )


def train_model(options: Options) -> None:
    """Trains the whole model, from its save, else from --init, else from the trained tower."""
    model, found = checkpoint.fresh(options.seed)
    vocabulary = Vocabulary(found)
    save, tower = _save_of(options, "model"), _save_of(options, "tower")
    if save.exists():  # it knows how it began, whatever is said now
        heads = None if load(save, finetune.PART)["heads"] is None else Heads()
    else:
        heads = Heads() if options.init is None else None
        if options.init is not None:
            vocabulary.take(checkpoint.adopt(options.init, model, found), found)
            if not _codec_file(options).exists() and (options.init / checkpoint.CODEC_FILE).exists():
                _codec_file(options).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(options.init / checkpoint.CODEC_FILE, _codec_file(options))
        elif tower.exists():
            _take_tower(tower, model, vocabulary, found, heads or Heads())
        else:
            raise TrainingError(
                "The whole model starts from a trained tower or a published checkpoint, and there is neither: run "
                "`python -m training.train tower` first, or name a checkpoint folder with --init."
            )
    if not _codec_file(options).exists():
        raise TrainingError("There is no mask codec yet: run `python -m training.train codec` first.")
    drawn = _drawn(options)
    examples = Examples(drawn, found, _codes(options, drawn, "pool"))
    out, candidate = options.out / CHECKPOINT, save.with_name("candidate")
    best = _score_of(out, options)

    def judge(trained: PaliGemmaForConditionalGeneration, table: torch.Tensor) -> None:
        nonlocal best
        checkpoint.publish(trained, found, table, _codec_file(options), candidate)
        reached, parts = score(str(candidate))
        LOG.info("judged %.4f | %s", reached, _in_words(parts))
        if reached <= best:
            LOG.info("not published: it is no better than the %.4f in %s", best, out)
            return
        best = reached
        checkpoint.publish(trained, found, table, _codec_file(options), out)
        LOG.info("published to %s", out)

    finetune.train(
        model,
        vocabulary,
        found,
        examples,
        heads=heads,
        alike=mask_codec.alike(mask_codec.read(_codec_file(options))),
        path=save,
        judge=judge,
        pictures=options.pictures,
        seed=options.seed,
        device=options.device,
        rate=options.rate,
        lanes=min(options.threads, options.pictures) if options.device == "cpu" else 1,
        **options.length(240),
    )


def train_translators(options: Options) -> None:
    """Trains both translators."""
    length = options.length(25)
    for direction in ("en-es", "es-en"):
        seconds = None if length["minutes"] is None else 60 * length["minutes"]
        translators.train(
            direction,
            options.out / f"translation-{direction}",
            options.runs / f"translation-{direction}.pt",
            seconds=seconds,
            threads=options.threads,
            seed=options.seed,
            steps=length["steps"],
        )


PARTS: dict[str, Callable[[Options], None]] = {
    "codec": train_codec,
    "tower": train_tower,
    "model": train_model,
    "translators": train_translators,
}
"""In the order in which they build on each other."""


def _save_of(options: Options, part: str) -> Path:
    return options.runs / part / "state.pt"


def _codec_file(options: Options) -> Path:
    return options.runs / "codec" / checkpoint.CODEC_FILE


def _pools(options: Options) -> tuple[pool.Pool, pool.Pool]:
    held_out = pool.load(
        options.runs / "pool-held-out",
        _HELD_OUT_SCENES,
        workers=options.workers,
        first_seed=scenes.held_out_seed(0, 0),
    )
    return _drawn(options), held_out


def _drawn(options: Options) -> pool.Pool:
    first = scenes.TRAINING_SEEDS.start + options.seed * 10_000_000 % len(scenes.TRAINING_SEEDS)
    return pool.load(options.runs / "pool", options.scenes, workers=options.workers, first_seed=first)


def _codes(options: Options, drawn: pool.Pool, name: str) -> np.ndarray | None:
    """The mask codes of a pool's things by the present codec, kept beside the pool; None without a codec."""
    path = _codec_file(options)
    if not path.exists():
        return None
    mark = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    kept = options.runs / name / f"codes-{mark}.npy"
    if not kept.exists() or np.load(kept, mmap_mode="r").shape[1] != len(drawn.kinds):
        codes = mask_codec.codes_of(mask_codec.read(path), drawn)
        partial = kept.with_name("codes.partial.npy")
        np.save(partial, codes)
        partial.replace(kept)
    return np.load(kept)


def _take_tower(
    path: Path, model: PaliGemmaForConditionalGeneration, vocabulary: Vocabulary, found: Inventory, heads: Heads
) -> None:
    state = load(path, pretrain.PART)
    try:
        model.model.vision_tower.load_state_dict(state["tower"])
        model.model.multi_modal_projector.load_state_dict(state["projector"])
        heads.load_state_dict(state["heads"])
    except (RuntimeError, KeyError) as error:
        raise TrainingError(f"The save {path} belongs to a tower of another shape: train the tower afresh.") from error
    vocabulary.start_from(heads, found)


def _score_of(folder: Path, options: Options) -> float:
    """What the checkpoint that is published now reaches; below any score where there is none that can be read."""
    if not folder.exists():
        return -1.0
    model, found = checkpoint.fresh(options.seed)
    try:
        checkpoint.adopt(folder, model, found)
    except TrainingError:
        LOG.info("%s holds no checkpoint of this shape: the first better than nothing goes there", folder)
        return -1.0
    reached, parts = score(str(folder))
    LOG.info("published now: %.4f | %s", reached, _in_words(parts))
    return reached


def _in_words(parts: Mapping[Metric, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in parts.items())


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message[:1].upper()}{message[1:]}. See `python -m training.train --help`.\n")


def _arguments(arguments: Sequence[str] | None) -> tuple[list[str], Options]:
    parser = _Parser(
        prog="python -m training.train",
        description="Trains the embedded checkpoint: all parts in order, or those named. An interrupted run goes on "
        "from its last save. The whole model is published to --out whenever it is better than what lies there.",
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all when none is named")
    parser.add_argument(
        "--out", type=Path, default=Path("assets"), help="folder of the finished checkpoints (%(default)s)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of pictures and saves (%(default)s)")
    parser.add_argument("--init", type=Path, help="checkpoint folder to go on from where there is no save of the model")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="minutes for each part in all, earlier runs included")
    length.add_argument("--steps", type=int, help="steps for each part in all, earlier runs included")
    parser.add_argument(
        "--scenes", type=int, default=60_000, help="pictures drawn for training, 150 kB each (%(default)s)"
    )
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes that draw (%(default)s)")
    parser.add_argument("--threads", type=int, default=available_cores(), help="threads that train (%(default)s)")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where the whole model trains (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same data (%(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies the model's learning rates (%(default)s)")
    parser.add_argument("--pictures", type=int, default=32, help="pictures in a step of the model (%(default)s)")
    given = parser.parse_args(arguments)
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    for name in ("minutes", "steps", "scenes", "workers", "threads", "pictures", "rate"):
        value = getattr(given, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be greater than 0, not {value}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here: use --device cpu")
    parts = given.parts or list(PARTS)
    values = {name: value for name, value in vars(given).items() if name != "parts"}
    return [part for part in PARTS if part in parts], Options(**values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parts, options = _arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # tqdm owns the terminal's last line: the libraries' own chatter would break it.
    for chatty in ("httpx", "inference"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        for part in parts:
            # Tower and model run one part of a step on each thread; elsewhere threads share each product.
            torch.set_num_threads(1 if part in ("tower", "model") and options.device == "cpu" else options.threads)
            PARTS[part](options)
    except (TrainingError, UserError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on from the last save.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
