"""The second stage: the whole model learns to answer prompts.

Knows the model, rows of tokens, the pool and the schedule. Knows nothing of how pictures are drawn or sentences made.
"""

import logging
import multiprocessing
import os
import queue
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import PaliGemmaForConditionalGeneration

from training import dense
from training import model as small
from training.examples import STEP, Examples, Mix, Sample
from training.grammar import WORDS
from training.lexicon import COLOURS, KINDS
from training.mixed import Lanes, Mixed, working_dtype
from training.optimiser import Optimiser, Rates
from training.pool import Pool
from training.pretrain import pixels_to_patches
from training.saving import Clock, TrainingError, every, load, save, schedule
from training.tokenizer import Inventory

LOG = logging.getLogger(__name__)
PART = "model"
_BUCKETS = 3
_DENSE = 0.1
"""What the dense labels weigh beside the prompts."""


class Vocabulary(nn.Module):
    """The embedding table in parts: words learn freely, places share waves, mask codes start from their heads.

    The places that boxes are told on share one direction more, by which they stand out from those between them.
    """

    def __init__(self, inventory: Inventory) -> None:
        super().__init__()
        width = small.WIDTH
        self.words = nn.Parameter(torch.randn(inventory.first_location, width) * width**-0.5)
        self.places = nn.Parameter(torch.randn(2 * dense.WAVES + 1, width) * (2 * dense.WAVES + 1) ** -0.5 * 0.7)
        self.told = nn.Parameter(torch.zeros(1, width))
        self.codes = nn.Parameter(torch.randn(inventory.image - inventory.first_code, width) * width**-0.5)
        self.image = nn.Parameter(torch.zeros(1, width))
        self.features = nn.Buffer(small.place_features(dense.BINS, dense.WAVES), persistent=False)
        self.is_told = nn.Buffer((torch.arange(dense.BINS) % STEP == 0).float().unsqueeze(1), persistent=False)

    def table(self) -> torch.Tensor:
        """(vocabulary, width)."""
        places = self.features @ self.places + self.is_told @ self.told
        return torch.cat([self.words, places, self.codes, self.image])

    @torch.no_grad()
    def start_from(self, heads: dense.Heads, inventory: Inventory) -> None:
        """Gives words, places and codes the embeddings that the tower was taught to speak."""

        def lend(words: Sequence[str], embedding: torch.Tensor) -> None:
            for word in dict.fromkeys(words):
                for row in inventory.text_ids(word):
                    own = self.words[row] * 0.4
                    self.words[row] = own + 0.9 * embedding / embedding.norm()

        for number, kind in enumerate(KINDS):
            lend((kind.en, kind.en_plural, kind.es, kind.es_plural), heads.kinds[1 + number])
        for number, colour in enumerate(COLOURS):
            forms = (colour.en, colour.es_m, colour.es_f, colour.es_m_plural, colour.es_f_plural)
            lend(forms, heads.colours[1 + number])
        for number, word in enumerate(WORDS):
            lend((word,), heads.words[1 + number])
        self.places.copy_(heads.places)
        self.codes.copy_(heads.codes)

    @torch.no_grad()
    def take(self, table: torch.Tensor, inventory: Inventory) -> None:
        """Takes a published table apart again.

        Places are fitted by least squares, damped and in float64: waves that are nearly alike would else be given huge
        weights against each other, and in float32 not even those that fit.
        """
        self.words.copy_(table[: inventory.first_location])
        places = table[inventory.first_location : inventory.first_code].double()
        waves = torch.cat([self.features, self.is_told], dim=1).double()
        damping = 1e-3 * torch.eye(waves.shape[1], dtype=waves.dtype)
        fitted = torch.linalg.solve(waves.T @ waves + damping, waves.T @ places)
        self.places.copy_(fitted[:-1])
        self.told.copy_(fitted[-1:])
        self.codes.copy_(table[inventory.first_code : inventory.image])


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows of like length, padded on the right.

    Attributes:
        picture: int64 (rows,), whose picture each row looks at.
        ids: int64 (rows, length without the image).
        prefix: int64 (rows,), leading tokens that see each other both ways, image included.
        answer: int64 (answers,), flat positions in (rows, length without the image) that predict.
        wanted: int64 (answers,), the token to predict.
        places: float32 (answers,), the exact place in bins, or -1 for a token that is no place.
        weight: float32 (answers,).
    """

    picture: torch.Tensor
    ids: torch.Tensor
    prefix: torch.Tensor
    answer: torch.Tensor
    wanted: torch.Tensor
    places: torch.Tensor
    weight: torch.Tensor


def buckets(rows: Sequence[Sample], inventory: Inventory, count: int = _BUCKETS) -> list[Bucket]:
    """Sorts rows by length into buckets of about as many tokens each."""
    ordered = sorted(rows, key=lambda row: len(row.prefix) + len(row.target))
    total = sum(small.IMAGE_TOKENS + len(row.prefix) + len(row.target) for row in ordered)
    groups: list[list[Sample]] = [[]]
    held = 0
    for row in ordered:
        if held >= total / count and len(groups) < count:
            groups.append([])
            held = 0
        groups[-1].append(row)
        held += small.IMAGE_TOKENS + len(row.prefix) + len(row.target)
    return [_bucket(group, inventory) for group in groups if group]


def _bucket(rows: Sequence[Sample], inventory: Inventory) -> Bucket:
    length = max(len(row.prefix) + len(row.target) - 1 for row in rows)
    ids = np.full((len(rows), length), inventory.pad, dtype=np.int64)
    answer, wanted, places, weight = [], [], [], []
    for number, row in enumerate(rows):
        line = row.prefix + row.target[:-1]
        ids[number, : len(line)] = line
        start = number * length + len(row.prefix) - 1
        answer.append(np.arange(start, start + len(row.target)))
        wanted.append(row.target)
        places.append(row.places)
        # A long answer teaches more than a short one, but not in proportion to its length.
        weight.append(np.full(len(row.target), len(row.target) ** -0.5))
    return Bucket(
        picture=torch.tensor([row.picture for row in rows]),
        ids=torch.from_numpy(ids),
        prefix=torch.tensor([small.IMAGE_TOKENS + len(row.prefix) for row in rows]),
        answer=torch.from_numpy(np.concatenate(answer)),
        wanted=torch.from_numpy(np.concatenate(wanted).astype(np.int64)),
        places=torch.from_numpy(np.concatenate(places).astype(np.float32)),
        weight=torch.from_numpy(np.concatenate(weight).astype(np.float32)),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What a bucket tells of the model, teacher-forced: sums and counts.

    Attributes:
        loss, weight: The weighted loss and the weights' sum.
        place_px, places: Sum of the loc tokens' errors in pixels of the picture, and how many there are.
        codes_right, codes: The same for mask codes, right ones counted.
        words_right, words: The same for all other tokens.
    """

    loss: float
    weight: float
    place_px: float
    places: int
    codes_right: int
    codes: int
    words_right: int
    words: int


def step_loss(
    model: PaliGemmaForConditionalGeneration,
    tokens: torch.Tensor,
    table: torch.Tensor,
    bucket: Bucket,
    inventory: Inventory,
    *,
    alike: torch.Tensor,
    width: float,
) -> tuple[torch.Tensor, Report]:
    """The weighted loss of one bucket (a sum) and its report.

    Args:
        model: The copy that computes.
        tokens: (pictures, IMAGE_TOKENS, WIDTH) image tokens.
        table: (vocabulary, WIDTH) embeddings.
        bucket: The rows.
        inventory: The tokens.
        alike: (codes, codes), what part of the target of each mask code goes to each, see `mask_codec.alike`.
        width: Bins that a loc target is spread over.
    """
    words = functional.embedding(bucket.ids, table) * small.WIDTH**0.5
    embedded = torch.cat([tokens[bucket.picture], words], dim=1)
    hidden = small.read(model, embedded, bucket.prefix, bucket.ids.shape[1])
    picked = hidden.flatten(0, 1)[bucket.answer]
    cap = model.config.text_config.final_logit_softcapping
    log = functional.log_softmax(torch.tanh((picked @ table.T).float() / cap) * cap, dim=-1)
    is_place = bucket.places >= 0
    first, last = inventory.first_location, inventory.first_code
    is_code = (bucket.wanted >= last) & (bucket.wanted < inventory.image)
    is_word, weight = ~is_place & ~is_code, bucket.weight
    plain = functional.nll_loss(log[is_word], bucket.wanted[is_word], reduction="none")
    loss = (plain * weight[is_word]).sum()
    if is_code.any():
        wanted = alike[bucket.wanted[is_code] - last]
        loss = loss - ((wanted * log[is_code][:, last : inventory.image]).sum(-1) * weight[is_code]).sum()
    place_px = 0.0
    if is_place.any():
        places = log[is_place][:, first:last]
        bell = dense.spread(bucket.places[is_place], width, step=STEP)
        loss = loss - ((bell * places).sum(-1) * weight[is_place]).sum()
        off = (places.detach().argmax(-1) - bucket.places[is_place]).abs() / (dense.BINS - 1) * small.SIDE
        place_px = float(off.sum())
    right = log.detach().argmax(-1) == bucket.wanted
    report = Report(
        loss=float(loss.detach()),
        weight=float(weight.sum()),
        place_px=place_px,
        places=int(is_place.sum()),
        codes_right=int(right[is_code].sum()),
        codes=int(is_code.sum()),
        words_right=int(right[is_word].sum()),
        words=int(is_word.sum()),
    )
    return loss, report


def summary(reports: Sequence[Report]) -> dict[str, float]:
    """Averages over reports."""

    def total(name: str) -> float:
        return float(sum(getattr(report, name) for report in reports))

    return {
        "loss": total("loss") / max(1e-9, total("weight")),
        "place_px": total("place_px") / max(1.0, total("places")),
        "codes": total("codes_right") / max(1.0, total("codes")),
        "words": total("words_right") / max(1.0, total("words")),
    }


def most_things(share: float) -> int:
    """The curriculum: how many things a picture may hold at this point of the run."""
    return 1 if share < 0.04 else 2 if share < 0.1 else 3 if share < 0.2 else 5


def mix(share: float) -> Mix:
    """What is asked of a picture at this point of the run: finding first, then more of everything."""
    if share < 0.25:
        return Mix(detect=2, segment=1, descriptions=1, text=2, comparisons=0)
    return Mix(detect=1, segment=2, descriptions=2, text=2, comparisons=3)


@dataclass(frozen=True, slots=True)
class Batch:
    """Scenes of the pool, which of them are mirrored, and their rows."""

    picked: np.ndarray
    flipped: np.ndarray
    rows: list[Sample]


def _prepare(
    examples: Examples,
    pictures: int,
    seed: int,
    share: "Synchronized[float]",
    ready: "multiprocessing.Queue[Batch]",
    stop: Event,
) -> None:
    """Fills the queue with batches until told to stop; runs in a process of its own."""
    os.nice(2)
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    counts = np.diff(examples.pool.first)
    # Letters are the hardest to see, and few pictures hold things that are counted in a description: they come twice
    # and three times as often as they are drawn.
    often = np.where(examples.pool.texts == "", 1.0, 2.0) * np.where(examples.pool.has_equal_things(), 3.0, 1.0)
    trainer = os.getppid()  # it may be killed without a chance to say stop

    def wanted() -> bool:
        return not stop.is_set() and os.getppid() == trainer

    while wanted():
        now = share.value
        allowed = np.flatnonzero(counts <= most_things(now))
        chances = often[allowed] / often[allowed].sum()
        picked = np.sort(rng.choice(allowed, pictures, replace=len(allowed) < pictures, p=chances))
        flipped = (rng.random(pictures) < 0.5) & (examples.pool.texts[picked] == "")
        rows: list[Sample] = []
        for number, (index, flip) in enumerate(zip(picked, flipped, strict=True)):
            rows += examples.rows(int(index), bool(flip), number, chance, mix(now))
        while wanted():
            try:
                ready.put(Batch(picked, flipped, rows), timeout=1)
                break
            except queue.Full:
                continue


def batches(examples: Examples, pictures: int, seed: int, share: Callable[[], float]) -> Iterator[Batch]:
    """Endless batches from a second process; `share` tells it how far the run is."""
    context = multiprocessing.get_context("fork")
    told = context.Value("d", share())
    ready: multiprocessing.Queue[Batch] = context.Queue(maxsize=3)
    stop = context.Event()
    worker = context.Process(target=_prepare, args=(examples, pictures, seed, told, ready, stop), daemon=True)
    worker.start()
    try:
        while True:
            told.value = share()
            try:
                yield ready.get(timeout=5)
            except queue.Empty:
                if not worker.is_alive():
                    raise TrainingError("The process that makes prompts has ended; why stands above.") from None
    finally:
        stop.set()


def train(
    model: PaliGemmaForConditionalGeneration,
    vocabulary: Vocabulary,
    inventory: Inventory,
    examples: Examples,
    *,
    heads: dense.Heads | None,
    alike: torch.Tensor,
    path: Path,
    steps: int | None,
    minutes: float | None,
    judge: Callable[[PaliGemmaForConditionalGeneration, torch.Tensor], None],
    judge_minutes: float = 8.0,
    pictures: int = 32,
    seed: int = 0,
    device: str = "cpu",
    rate: float = 1.0,
    lanes: int = 1,
) -> None:
    """Trains the whole model in place.

    Args:
        model: float32 weights.
        vocabulary: Its embedding table in parts.
        inventory: The tokens.
        examples: What it learns from.
        heads: The first stage's heads: the tower goes on learning its dense labels beside the prompts, which begin
            with easy pictures. None for a model that has been through that.
        alike: How mask codes share their targets, (codes, codes).
        path: The save that an interrupted run goes on from.
        steps: How many steps in all, or None.
        minutes: How many minutes in all, or None.
        judge: Is given the model and its embedding table now and then, and at the end.
        judge_minutes: Minutes between two judgements.
        pictures: Pictures in a step.
        seed: The same seed gives the same rows.
        device: Where it trains.
        rate: Multiplies all learning rates.
        lanes: Threads, each of which runs its own part of a step.
    """
    torch.manual_seed(seed)
    model.to(device)  # before the optimisers, whose momentum lies where the weights do
    vocabulary.to(device)
    if heads is not None:
        heads.to(device)
    pool = examples.pool
    optimisers = _optimisers(model, vocabulary, heads, rate)
    done_steps, done_seconds = _resume(path, model, vocabulary, heads, optimisers) if path.exists() else (0, 0.0)
    clock = Clock(steps=steps, minutes=minutes, done_steps=done_steps, done_seconds=done_seconds)
    dtype = working_dtype(device)
    mixed, side_by_side = Mixed(model, dtype, copies=lanes), Lanes(lanes)
    alike = alike.to(device)
    labelling = None if heads is None else Mixed(heads, torch.float32, copies=lanes)
    features = vocabulary.features

    def keep() -> None:
        state = {
            "part": PART,
            "steps": clock.steps,
            "seconds": clock.seconds,
            "model": model.state_dict(),
            "vocabulary": vocabulary.state_dict(),
            "heads": None if heads is None else heads.state_dict(),
            "optimisers": {name: optimiser.state() for name, optimiser in optimisers.items()},
        }
        save(path, state)

    look, keep_now, judge_now = every(60), every(90), every(judge_minutes * 60)
    recent: list[Report] = []
    bar = tqdm(total=1000, initial=int(1000 * clock.share), desc="model", unit="‰")
    here = (lambda: max(0.5, clock.share)) if heads is None else (lambda: clock.share)
    for batch in batches(examples, pictures, seed + done_steps, here):
        share = clock.share
        if share >= 1:
            break
        bar.n = int(1000 * share)
        # A wide bell teaches the way there, a narrow one the place itself.
        width = 2 + 8 * max(0.0, 1 - here() / 0.3)
        whole = vocabulary.table()
        shares = _shares(batch, side_by_side.count)
        split = [[_moved(part, device) for part in buckets(share.rows, inventory)] for share in shares]
        scale = 1 / float(sum(part.weight.sum() for parts in split for part in parts))
        tables = [whole.detach().to(dtype, copy=True).requires_grad_() for _ in shares]

        lane_steps = [
            _LaneStep(
                model=mixed.working[lane],
                pixels=_pixels(pool, shares[lane]),
                parts=split[lane],
                table=tables[lane],
                inventory=inventory,
                alike=alike,
                width=width,
                scale=scale,
                device=device,
                dense=None if labelling is None else _Dense(labelling.working[lane], features, examples, shares[lane]),
                dense_scale=_DENSE / lanes,
            )
            for lane in range(lanes)
        ]
        for reports in side_by_side.run([step.run for step in lane_steps]):
            recent += reports
        whole.backward(torch.stack([table.grad.float() for table in tables]).sum(0))  # type: ignore[union-attr]
        norm = mixed.gather()
        if labelling is not None:
            labelling.gather()
        factor = schedule(share, clock.steps)
        for optimiser in optimisers.values():
            if optimiser.others:
                torch.nn.utils.clip_grad_norm_(optimiser.others, 1.0)
            optimiser.step(factor)
        mixed.spread()
        if labelling is not None:
            labelling.spread()
        for parameter in vocabulary.parameters():
            parameter.grad = None
        clock.steps += 1
        if clock.steps % 5 == 0:
            now = summary(recent[-5 * _BUCKETS * lanes :])
            bar.set_postfix(loss=f"{now['loss']:.3f}", px=f"{now['place_px']:.1f}", words=f"{now['words']:.3f}")
        if look():
            told = " ".join(f"{name} {value:.3f}" for name, value in summary(recent).items())
            LOG.info(
                "step %d minute %.1f norm %.2f things %d | training: %s",
                clock.steps,
                clock.seconds / 60,
                norm,
                most_things(here()),
                told,
            )
            recent.clear()
        if keep_now():
            keep()
        if judge_now():
            judge(model, vocabulary.table().detach())
    bar.close()
    keep()
    judge(model, vocabulary.table().detach())


def _optimisers(
    model: PaliGemmaForConditionalGeneration, vocabulary: Vocabulary, heads: dense.Heads | None, rate: float
) -> dict[str, Optimiser]:
    """One for each part that learns at its own rate; `rate` multiplies them all."""
    seeing, reading = small.layer_matrices(model)
    chosen = {id(p) for p in (*seeing, *reading)}
    tower = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    language = [p for name, p in model.model.language_model.named_parameters() if "embed_tokens" not in name]
    eyes = Optimiser(
        matrices=seeing,
        others=[p for p in tower if id(p) not in chosen],
        rates=Rates(matrices=5e-4 * rate, others=3.5e-4 * rate),
    )
    voice = Optimiser(
        matrices=reading,
        others=[p for p in language if id(p) not in chosen] + [vocabulary.words, vocabulary.codes, vocabulary.told],
        rates=Rates(matrices=2e-3 * rate, others=1.5e-3 * rate),
    )
    waves = Optimiser(matrices=[], others=[vocabulary.places], rates=Rates(matrices=0, others=3e-4 * rate))
    labels = Optimiser(
        matrices=[], others=[] if heads is None else heads.parameters(), rates=Rates(matrices=0, others=5e-4 * rate)
    )
    return {"eyes": eyes, "voice": voice, "waves": waves, "labels": labels}


def _resume(
    path: Path,
    model: PaliGemmaForConditionalGeneration,
    vocabulary: Vocabulary,
    heads: dense.Heads | None,
    optimisers: Mapping[str, Optimiser],
) -> tuple[int, float]:
    """Puts a save into all that learns; gives the steps and seconds that lie behind it.

    Raises:
        TrainingError: It is no save of this model.
    """
    state = load(path, PART)
    try:
        model.load_state_dict(state["model"])
        vocabulary.load_state_dict(state["vocabulary"])
        if heads is not None:
            heads.load_state_dict(state["heads"])
        for name, optimiser in optimisers.items():
            optimiser.restore(state["optimisers"][name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(
            f"The save {path} belongs to a model of another shape: move it away to start afresh."
        ) from error
    return state["steps"], state["seconds"]


@dataclass(frozen=True, slots=True)
class _Dense:
    """What the dense labels of one thread's pictures need."""

    heads: dense.Heads
    features: torch.Tensor
    examples: Examples
    batch: Batch

    def loss(self, seen: torch.Tensor) -> torch.Tensor:
        """The sum of the dense losses."""
        truth = dense.labels(self.examples.pool, self.batch.picked, self.batch.flipped, self.examples.codes)
        moved: dict[str, Any] = {
            field.name: None if (value := getattr(truth, field.name)) is None else value.to(seen.device)
            for field in fields(truth)
        }
        parts, _ = dense.losses(self.heads, seen, dense.Labels(**moved), self.features, width=4)
        return torch.stack(list(parts.values())).sum()


@dataclass(frozen=True, slots=True)
class _LaneStep:
    """One thread's part of a step; the gradients stay in its copy of the model and in its table."""

    model: PaliGemmaForConditionalGeneration
    pixels: torch.Tensor
    parts: list[Bucket]
    table: torch.Tensor
    inventory: Inventory
    alike: torch.Tensor
    width: float
    scale: float
    device: str
    dense: _Dense | None
    dense_scale: float

    def run(self) -> list[Report]:
        """Forward and backward; the tower's backward pass comes last and once, whatever the number of buckets."""
        seen = small.see(self.model, pixels_to_patches(self.pixels.to(self.device), self.table.dtype))
        tokens = seen.detach().requires_grad_()
        reports = []
        for part in self.parts:
            loss, report = step_loss(
                self.model, tokens, self.table, part, self.inventory, alike=self.alike, width=self.width
            )
            (loss * self.scale).backward()
            reports.append(report)
        if self.dense is not None:
            (self.dense.loss(tokens) * self.dense_scale).backward()
        seen.backward(tokens.grad)
        return reports


def _shares(batch: Batch, count: int) -> list[Batch]:
    """A batch in `count` parts of as many pictures, each with its own rows."""
    parts = []
    for numbers in np.array_split(np.arange(len(batch.picked)), count):
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        rows = [
            Sample(row.picture - first, row.prefix, row.target, row.places)
            for row in batch.rows
            if first <= row.picture < last
        ]
        parts.append(Batch(batch.picked[first:last], batch.flipped[first:last], rows))
    return parts


def _pixels(pool: Pool, batch: Batch) -> torch.Tensor:
    pixels = pool.images[batch.picked]
    pixels[batch.flipped] = pixels[batch.flipped][:, :, ::-1]
    return torch.from_numpy(pixels)


def _moved(bucket: Bucket, device: str) -> Bucket:
    if device == "cpu":
        return bucket
    names = ("picture", "ids", "prefix", "answer", "wanted", "places", "weight")
    return Bucket(**{name: getattr(bucket, name).to(device) for name in names})
