"""A pool of drawn scenes on disk, so that training reads pictures instead of waiting for them to be drawn.

Knows how to draw many seeds in parallel and to read them back as plain arrays. Knows nothing of models or sentences.
A pool is a cache: it can be deleted at any time and is drawn again from the same seeds.
"""

import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image
from tqdm import tqdm

from training import scenes
from training.lexicon import COLOURS, KINDS
from training.world import Scene, Thing, Writing

GRID = 8
"""Patches a side of the picture: dense training labels each of them."""

MASK_SIDE = 64
"""Side in pixels of a silhouette cut to its box, as the mask codec takes it."""

_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Pool:
    """Many scenes as arrays.

    Attributes:
        images: uint8 (scenes, side, side, 3), mapped from disk.
        first: int64 (scenes + 1,); the things of scene i are rows first[i] to first[i + 1] of the arrays below.
        kinds, colours: int64 (things,), indices into KINDS and COLOURS.
        boxes: float32 (things, 4), x_min, y_min, x_max, y_max in pixels.
        cover: float32 (things, GRID, GRID), the share of each patch that the thing covers.
        masks: uint8 (things, MASK_SIDE * MASK_SIDE / 8), packed silhouettes cut to their boxes.
        texts: str (scenes,), what is written, "" for nothing.
        text_boxes: float32 (scenes, 4), zeros where nothing is written.
        seeds: int64 (scenes,).
    """

    images: np.ndarray
    first: np.ndarray
    kinds: np.ndarray
    colours: np.ndarray
    boxes: np.ndarray
    cover: np.ndarray
    masks: np.ndarray
    texts: np.ndarray
    text_boxes: np.ndarray
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)

    def has_equal_things(self) -> np.ndarray:
        """Bool (scenes,): whether a scene holds two things of one kind in one colour."""
        scene_of = np.repeat(np.arange(len(self)), np.diff(self.first))
        things, counts = np.unique(np.stack((scene_of, self.kinds, self.colours)), axis=1, return_counts=True)
        return np.isin(np.arange(len(self)), things[0, counts > 1])

    def silhouettes(self, rows: np.ndarray) -> np.ndarray:
        """Bool (rows, MASK_SIDE, MASK_SIDE): the silhouettes of these things cut to their boxes."""
        return np.unpackbits(self.masks[rows], axis=1).reshape(-1, MASK_SIDE, MASK_SIDE).astype(bool)

    def scene(self, index: int, flipped: bool = False) -> Scene:
        """The scene as language reads it: without pixels and masks, left and right exchanged on demand."""
        side = self.images.shape[1]
        rows = range(self.first[index], self.first[index + 1])
        things = []
        for row in rows:
            x_min, y_min, x_max, y_max = (float(v) for v in self.boxes[row])
            if flipped:
                x_min, x_max = side - x_max, side - x_min
            box = (x_min, y_min, x_max, y_max)
            things.append(Thing(KINDS[self.kinds[row]], COLOURS[self.colours[row]], box, np.zeros((0, 0), bool)))
        text = str(self.texts[index])
        writing = None
        if text:
            x_min, y_min, x_max, y_max = (float(v) for v in self.text_boxes[index])
            writing = Writing(text, (x_min, y_min, x_max, y_max))
        things.sort(key=lambda thing: thing.centre)
        return Scene(int(self.seeds[index]), Image.new("RGB", (side, side)), tuple(things), writing)


def load(folder: Path, size: int, *, workers: int, first_seed: int = scenes.TRAINING_SEEDS.start) -> Pool:
    """The pool of `size` scenes from `first_seed` on, drawn into `folder` now unless it already lies there."""
    if not (folder / "truth.npz").exists():
        _draw(folder, size, workers, first_seed)
    with np.load(folder / "truth.npz") as truth:
        arrays = {name: truth[name] for name in truth.files}
    if len(arrays["seeds"]) < size or arrays["seeds"][0] != first_seed:
        (folder / "truth.npz").unlink()
        return load(folder, size, workers=workers, first_seed=first_seed)
    arrays["cover"] = arrays["cover"].astype(np.float32) / 255
    side = scenes.SIDE
    images = np.memmap(folder / "images.u8", dtype=np.uint8, mode="r", shape=(len(arrays["seeds"]), side, side, 3))
    return Pool(images=images, **arrays)


def cut_to_box(mask: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """A silhouette stretched from its box to bool (MASK_SIDE, MASK_SIDE)."""
    x_min, y_min, x_max, y_max = (round(v) for v in box)
    window = Image.fromarray((mask[y_min:y_max, x_min:x_max] * 255).astype(np.uint8))
    stretched = window.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(stretched) > 127


def _draw(folder: Path, size: int, workers: int, first_seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    side = scenes.SIDE
    images = np.memmap(folder / "images.u8", dtype=np.uint8, mode="w+", shape=(size, side, side, 3))
    starts = list(range(0, size, _CHUNK))
    jobs = [(folder / "images.u8", size, start, min(start + _CHUNK, size), first_seed) for start in starts]
    parts: dict[str, list[np.ndarray]] = {}
    context = multiprocessing.get_context("fork")
    with context.Pool(workers) as processes:
        for part in tqdm(processes.imap(_draw_chunk, jobs), total=len(jobs), desc="drawing", unit="chunk"):
            for name, values in part.items():
                parts.setdefault(name, []).append(values)
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    arrays["first"] = np.concatenate([[0], np.cumsum(arrays.pop("counts"))]).astype(np.int64)
    images.flush()
    partial = folder / "truth.partial.npz"
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(folder / "truth.npz")


def _draw_chunk(job: tuple[Path, int, int, int, int]) -> dict[str, np.ndarray]:
    path, size, start, stop, first_seed = job
    side = scenes.SIDE
    images = np.memmap(path, dtype=np.uint8, mode="r+", shape=(size, side, side, 3))
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for index in range(start, stop):
        scene = scenes.draw(first_seed + index)
        images[index] = np.asarray(scene.image)
        for name, value in _columns(scene):
            columns[name].append(value)
    return {name: np.array(values, dtype=_COLUMNS[name]) for name, values in columns.items()}


_COLUMNS: Mapping[str, DTypeLike] = {
    "kinds": np.int64,
    "colours": np.int64,
    "boxes": np.float32,
    "cover": np.uint8,
    "masks": np.uint8,
    "counts": np.int64,
    "texts": np.dtype("U24"),
    "text_boxes": np.float32,
    "seeds": np.int64,
}


def _columns(scene: Scene) -> Iterator[tuple[str, object]]:
    patch = scene.image.width // GRID
    for thing in scene.things:
        yield "kinds", KINDS.index(thing.kind)
        yield "colours", COLOURS.index(thing.colour)
        yield "boxes", thing.box
        share = thing.mask.reshape(GRID, patch, GRID, patch).mean((1, 3))
        yield "cover", np.round(share * 255).astype(np.uint8)
        yield "masks", np.packbits(cut_to_box(thing.mask, thing.box).ravel())
    yield "counts", len(scene.things)
    yield "texts", scene.writing.text if scene.writing else ""
    yield "text_boxes", scene.writing.box if scene.writing else (0.0, 0.0, 0.0, 0.0)
    yield "seeds", scene.seed
