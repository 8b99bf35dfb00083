"""The first stage: the tower alone learns to see, patch by patch.

Knows the pool, the dense labels and their losses. Knows nothing of prompts.
"""

import logging
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import PaliGemmaForConditionalGeneration

from training import dense
from training import model as small
from training.mixed import Lanes, Mixed, working_dtype
from training.optimiser import Optimiser, Rates
from training.pool import Pool
from training.saving import Clock, TrainingError, every, load, save, schedule

LOG = logging.getLogger(__name__)
PART = "tower"


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures as uint8 (n, side, side, 3) and their dense labels."""

    pixels: torch.Tensor
    truth: dense.Labels


def batches(pool: Pool, size: int, codes: np.ndarray | None, seed: int, *, parts: int = 1) -> Iterator[list[Batch]]:
    """Endless batches in `parts` parts of `size`, prepared ahead in a thread. Writing is never mirrored."""
    rng = np.random.default_rng(seed)
    ready: queue.Queue[list[Batch]] = queue.Queue(maxsize=3)
    stopped = threading.Event()

    def prepare() -> None:
        while not stopped.is_set():
            batch = []
            for _ in range(parts):
                picked = np.sort(rng.integers(0, len(pool), size))
                flipped = (rng.random(size) < 0.5) & (pool.texts[picked] == "")
                batch.append(make_batch(pool, picked, flipped, codes))
            while not stopped.is_set():
                try:
                    ready.put(batch, timeout=1)
                    break
                except queue.Full:
                    continue

    with ThreadPoolExecutor(1) as pool_of_one:
        preparing = pool_of_one.submit(prepare)
        try:
            while True:
                try:
                    yield ready.get(timeout=1)
                except queue.Empty:
                    if preparing.done():
                        preparing.result()  # raises what it failed with
        finally:
            stopped.set()


def make_batch(pool: Pool, picked: np.ndarray, flipped: np.ndarray, codes: np.ndarray | None) -> Batch:
    """The picked scenes as one batch."""
    pixels = pool.images[picked]
    pixels[flipped] = pixels[flipped][:, :, ::-1]
    return Batch(torch.from_numpy(pixels), dense.labels(pool, picked, flipped, codes))


def pixels_to_patches(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """uint8 pictures to the tower's input."""
    return small.patches(pixels).to(dtype) / 127.5 - 1


def train(
    model: PaliGemmaForConditionalGeneration,
    pool: Pool,
    held_out: Pool,
    *,
    path: Path,
    steps: int | None,
    minutes: float | None,
    batch: int,
    seed: int = 0,
    codes: np.ndarray | None = None,
    held_out_codes: np.ndarray | None = None,
    lanes: int = 1,
) -> dense.Heads:
    """Trains the tower and the projector in place and returns the heads, whose embeddings language starts from."""
    torch.manual_seed(seed)
    heads = dense.Heads()
    features = small.place_features(dense.BINS, dense.WAVES)
    matrices, _ = small.layer_matrices(model)
    seeing = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    chosen = {id(p) for p in matrices}
    others = [p for p in seeing if id(p) not in chosen] + list(heads.parameters())
    optimiser = Optimiser(matrices=matrices, others=others, rates=Rates(matrices=2e-3, others=1.5e-3))
    done_steps, done_seconds = 0, 0.0
    if path.exists():
        state = load(path, PART)
        try:
            model.model.vision_tower.load_state_dict(state["tower"])
            model.model.multi_modal_projector.load_state_dict(state["projector"])
            heads.load_state_dict(state["heads"])
            optimiser.restore(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"The save {path} belongs to a model of another shape: move it away to start afresh."
            ) from error
        done_steps, done_seconds = state["steps"], state["seconds"]
    clock = Clock(steps=steps, minutes=minutes, done_steps=done_steps, done_seconds=done_seconds)
    mixed, reading = Mixed(model, working_dtype(), copies=lanes), Mixed(heads, torch.float32, copies=lanes)
    side_by_side = Lanes(lanes)

    def keep() -> None:
        state = {
            "part": PART,
            "steps": clock.steps,
            "seconds": clock.seconds,
            "tower": model.model.vision_tower.state_dict(),
            "projector": model.model.multi_modal_projector.state_dict(),
            "heads": heads.state_dict(),
            "optimiser": optimiser.state(),
        }
        save(path, state)

    look, keep_now = every(45), every(60)
    bar = tqdm(total=1000, initial=int(1000 * clock.share), desc="tower", unit="‰")
    for items in batches(pool, batch // lanes, codes, seed + done_steps, parts=lanes):
        share = clock.share
        if share >= 1:
            break
        bar.n = int(1000 * share)
        width = 4 + 20 * max(0.0, 1 - share / 0.6)

        lane_steps = [
            _LaneStep(own, readers, item, features, width, 1 / lanes)
            for own, readers, item in zip(mixed.working, reading.working, items, strict=True)
        ]
        results = side_by_side.run([step.run for step in lane_steps])
        loss, report = sum(result[0] for result in results), results[0][1]
        reading.gather()
        norm = mixed.gather()
        torch.nn.utils.clip_grad_norm_(others, 3.0)
        optimiser.step(schedule(share, clock.steps))
        mixed.spread()
        reading.spread()
        clock.steps += 1
        if clock.steps % 10 == 0:
            bar.set_postfix(loss=f"{loss:.2f}", box=f"{report['box_px']:.1f}px", kind=f"{report['kind']:.2f}")
        if look() or clock.steps == done_steps + 20:
            held = evaluate(mixed.working[0], heads, held_out, held_out_codes)
            told = " ".join(f"{name} {value:.3f}" for name, value in held.items())
            LOG.info(
                "step %d minute %.1f loss %.3f norm %.2f | held out: %s",
                clock.steps, clock.seconds / 60, loss, norm, told,
            )  # fmt: skip
        if keep_now():
            keep()
    bar.close()
    keep()
    LOG.info("done: %s", evaluate(mixed.working[0], heads, held_out, held_out_codes))
    return heads


@dataclass(frozen=True, slots=True)
class _LaneStep:
    """One thread's part of a step; the gradients stay in its copies."""

    model: PaliGemmaForConditionalGeneration
    heads: dense.Heads
    batch: Batch
    features: torch.Tensor
    width: float
    scale: float

    def run(self) -> tuple[float, dict[str, float]]:
        """Forward and backward; returns its share of the loss and the report."""
        tokens = small.see(self.model, pixels_to_patches(self.batch.pixels, working_dtype()))
        parts, report = dense.losses(self.heads, tokens, self.batch.truth, self.features, width=self.width)
        loss = torch.stack(list(parts.values())).sum() * self.scale
        loss.backward()
        return float(loss.detach()), report


@torch.no_grad()
def evaluate(
    model: PaliGemmaForConditionalGeneration, heads: dense.Heads, pool: Pool, codes: np.ndarray | None, size: int = 192
) -> dict[str, float]:
    """The report of the losses on the first held-out scenes."""
    item = make_batch(pool, np.arange(size), np.zeros(size, bool), codes)
    features = small.place_features(dense.BINS, dense.WAVES)
    tokens = small.see(model, pixels_to_patches(item.pixels, working_dtype()))
    return dense.losses(heads, tokens, item.truth, features, width=4)[1]
