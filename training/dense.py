"""Dense labels: what every patch of a picture should know, and the heads and losses that teach it.

Knows pools of scenes and the tower's image tokens. Knows nothing of prompts: this comes before language. The heads are
tied to the embeddings that language starts from, so that a patch already speaks its words when the second stage begins.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training import model as small
from training.grammar import WORDS
from training.lexicon import COLOURS, KINDS
from training.pool import GRID, MASK_SIDE, Pool
from training.scenes import letter_edges

BINS = 1024
CODES, CODEBOOK = 16, 128
WAVES = 48
LEAST_COVER = 0.22
_COARSE = 16
_ALPHABET = 26


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a batch of pictures. "Rows" are patches that a thing covers; `where` says which patches they are.

    Attributes:
        kind, colour: int64 (pictures * patches,), the covering thing's, 0 for none, else 1 + its index.
        centre: float32 (pictures * patches,), 1 where the middle of a thing's box lies.
        where: int64 (rows,), flat patch numbers.
        place: float32 (rows, 4), the box as y_min, x_min, y_max, x_max, each 0 to 1.
        rank, count: int64 (rows,), the thing's number from the left, and how many things there are, from 0.
        shape: float32 (rows, 256), its silhouette in its box, 16 x 16.
        codes: int64 (rows, 16) or None while there is no codec.
        word: int64 (pictures * patches,), 0 for none, else 1 + index in WORDS.
        turn: int64 (pictures * patches,), 0 for a phrase's first word, 1 for its second, -100 for no word.
        letters: float32 (pictures * patches, 26), which letters lie in the patch, by half at least.
    """

    kind: torch.Tensor
    colour: torch.Tensor
    centre: torch.Tensor
    where: torch.Tensor
    place: torch.Tensor
    rank: torch.Tensor
    count: torch.Tensor
    shape: torch.Tensor
    codes: torch.Tensor | None
    word: torch.Tensor
    turn: torch.Tensor
    letters: torch.Tensor


def labels(pool: Pool, picked: np.ndarray, flipped: np.ndarray, codes: np.ndarray | None) -> Labels:
    """The labels of the picked scenes, each mirrored where `flipped` says so.

    Args:
        pool: Where the scenes lie.
        picked: int (pictures,), which scenes.
        flipped: bool (pictures,).
        codes: int (2, things, 16), the mask codes of every thing of the pool, upright and mirrored.
    """
    patches, n = GRID * GRID, len(picked)
    side = pool.images.shape[1]
    kind, colour, word = (np.zeros((n, patches), dtype=np.int64) for _ in range(3))
    turn = np.full((n, patches), -100, dtype=np.int64)
    centre = np.zeros((n, patches), dtype=np.float32)
    letters = np.zeros((n, patches, _ALPHABET), dtype=np.float32)
    where, things, place, rank, count, mirrored = [], [], [], [], [], []
    for row, (index, flip) in enumerate(zip(picked, flipped, strict=True)):
        first, last = pool.first[index], pool.first[index + 1]
        cover = pool.cover[first:last]
        boxes = pool.boxes[first:last] / side
        if flip:
            cover = cover[:, :, ::-1]
            boxes = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
        cover = cover.reshape(len(boxes), patches)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        order = np.argsort(np.argsort(middles[:, 0]))
        cells = np.minimum((middles * GRID).astype(int), GRID - 1)
        centre[row, cells[:, 1] * GRID + cells[:, 0]] = 1
        owner = cover.argmax(0)
        seen = cover.max(0) >= LEAST_COVER
        for number in range(len(boxes)):
            best = cover[number].argmax()
            owner[best], seen[best] = number, True
        hits = np.flatnonzero(seen)
        kind[row, hits] = 1 + pool.kinds[first:last][owner[hits]]
        colour[row, hits] = 1 + pool.colours[first:last][owner[hits]]
        where.append(row * patches + hits)
        things.append(first + owner[hits])
        place.append(boxes[owner[hits]][:, [1, 0, 3, 2]])
        rank.append(order[owner[hits]])
        count.append(np.full(len(hits), len(boxes) - 1))
        mirrored.append(np.full(len(hits), bool(flip)))
        if pool.texts[index]:
            _label_writing(str(pool.texts[index]), pool.text_boxes[index] / side, word[row], turn[row], letters[row])
    rows, mirror = np.concatenate(things), np.concatenate(mirrored)
    shape = pool.silhouettes(rows)
    step = MASK_SIDE // _COARSE
    coarse = shape.reshape(-1, _COARSE, step, _COARSE, step).mean((2, 4), dtype=np.float32)
    coarse = np.where(mirror[:, None, None], coarse[:, :, ::-1], coarse)
    return Labels(
        kind=torch.from_numpy(kind.ravel()),
        colour=torch.from_numpy(colour.ravel()),
        centre=torch.from_numpy(centre.ravel()),
        where=torch.from_numpy(np.concatenate(where)),
        place=torch.from_numpy(np.concatenate(place).astype(np.float32)),
        rank=torch.from_numpy(np.concatenate(rank)),
        count=torch.from_numpy(np.concatenate(count)),
        shape=torch.from_numpy(coarse.reshape(-1, _COARSE * _COARSE)),
        codes=None if codes is None else torch.from_numpy(codes[mirror.astype(int), rows].astype(np.int64)),
        word=torch.from_numpy(word.ravel()),
        turn=torch.from_numpy(turn.ravel()),
        letters=torch.from_numpy(letters.reshape(-1, _ALPHABET)),
    )


def _label_writing(text: str, box: np.ndarray, word: np.ndarray, turn: np.ndarray, letters: np.ndarray) -> None:
    """Marks the patches of each written word, in place; `box` is in shares of the side."""
    parts = text.split(" ")
    x_min, y_min, x_max, y_max = box
    areas = [(x_min, y_min, x_max, y_max)]
    if len(parts) == 2:
        # Two lines are at least 42 px high, one line is at most 30.
        if y_max - y_min > 0.17:
            middle = (y_min + y_max) / 2
            share = [len(part) / max(len(p) for p in parts) for part in parts]
            areas = [
                (x_min, y_min, x_min + share[0] * (x_max - x_min), middle),
                (x_min, middle, x_min + share[1] * (x_max - x_min), y_max),
            ]
        else:
            middle = x_min + (x_max - x_min) * (len(parts[0]) + 0.5) / (len(text))
            areas = [(x_min, y_min, middle, y_max), (middle, y_min, x_max, y_max)]
    edges = np.arange(GRID + 1) / GRID
    for number, (part, (left, top, right, bottom)) in enumerate(zip(parts, areas, strict=True)):
        wide = np.clip(np.minimum(right, edges[1:]) - np.maximum(left, edges[:-1]), 0, None) * GRID
        high = np.clip(np.minimum(bottom, edges[1:]) - np.maximum(top, edges[:-1]), 0, None) * GRID
        high = np.where((high >= 0.3) | (high == high.max()), 1, 0)
        hits = np.flatnonzero(np.outer(high, wide >= 0.3))
        word[hits] = 1 + WORDS.index(part)
        turn[hits] = number
        places = left + (right - left) * letter_edges(part)
        for letter, start, end in zip(part, places[:-1], places[1:], strict=True):
            inside = np.clip(np.minimum(end, edges[1:]) - np.maximum(start, edges[:-1]), 0, None) >= 0.45 * (
                end - start
            )
            letters[np.flatnonzero(np.outer(high, inside)), ord(letter) - ord("A")] = 1


class Heads(nn.Module):
    """What reads the labels off the image tokens. Only the shared embeddings outlive the first stage.

    `kinds`, `colours`, `words`: row 0 is "none"; the others become the embeddings of the words themselves.
    `places`: with `place_features` it makes the embeddings of the loc tokens.
    `codes`: the embeddings of the seg tokens.
    """

    def __init__(self) -> None:
        super().__init__()
        width = small.WIDTH
        self.kinds = nn.Parameter(torch.randn(1 + len(KINDS), width) * width**-0.5)
        self.colours = nn.Parameter(torch.randn(1 + len(COLOURS), width) * width**-0.5)
        self.words = nn.Parameter(torch.randn(1 + len(WORDS), width) * width**-0.5)
        self.places = nn.Parameter(torch.randn(2 * WAVES + 1, width) * (2 * WAVES + 1) ** -0.5 * 0.7)
        self.codes = nn.Parameter(torch.randn(CODEBOOK, width) * width**-0.5)
        edges = [nn.Linear(width, width) for _ in range(4)]
        self.edges = nn.ModuleList(edges)
        self.seen_codes = nn.Linear(width, CODES * width)
        self.shape = nn.Linear(width, _COARSE * _COARSE)
        self.centre = nn.Linear(width, 1)
        self.rank = nn.Linear(width, 5)
        self.count = nn.Linear(width, 5)
        self.turn = nn.Linear(width, 2)
        self.letters = nn.Linear(width, _ALPHABET)
        for edge in edges:
            nn.init.orthogonal_(edge.weight)


def place_table(heads: Heads, features: torch.Tensor) -> torch.Tensor:
    """(BINS, WIDTH): the loc tokens' embeddings."""
    return features @ heads.places


def spread(bins: torch.Tensor, width: float, *, step: int = 1) -> torch.Tensor:
    """Targets over the loc bins: a bell of `width` bins around each fractional bin; (..., BINS), summing to one.

    Only every `step`-th bin gets a part of it.
    """
    axis = torch.arange(BINS, device=bins.device, dtype=torch.float32)
    heights = -0.5 * ((axis - bins[..., None]) / width) ** 2
    return functional.softmax(heights.masked_fill(axis % step != 0, -torch.inf), dim=-1)


def losses(
    heads: Heads, tokens: torch.Tensor, truth: Labels, features: torch.Tensor, *, width: float
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The parts of the loss, and what can be told from them: shares of right answers and the box error in pixels."""
    flat = tokens.flatten(0, 1).float()
    flat = flat * torch.rsqrt(flat.pow(2).mean(-1, keepdim=True) + 1e-6)
    kind, colour, word = flat @ heads.kinds.T, flat @ heads.colours.T, flat @ heads.words.T
    rows = flat[truth.where]
    table = place_table(heads, features)
    parts = {
        "kind": functional.cross_entropy(kind, truth.kind) * 3,
        "colour": functional.cross_entropy(colour, truth.colour) * 2,
        "word": functional.cross_entropy(word, truth.word) * 3,
        "centre": functional.binary_cross_entropy_with_logits(heads.centre(flat)[:, 0], truth.centre),
        "rank": functional.cross_entropy(heads.rank(rows), truth.rank) * 0.15,
        "count": functional.cross_entropy(heads.count(rows), truth.count) * 0.1,
        "shape": functional.binary_cross_entropy_with_logits(heads.shape(rows), truth.shape) * 1.5,
    }
    if (truth.turn >= 0).any():
        parts["turn"] = functional.cross_entropy(heads.turn(flat), truth.turn, ignore_index=-100) * 0.1
        # Words of one patch and a half a letter are hard to see whole: their letters come first.
        spelt = heads.letters(flat[truth.turn >= 0])
        found = functional.binary_cross_entropy_with_logits(spelt, truth.letters[truth.turn >= 0])
        parts["letters"] = found * _ALPHABET * 0.2
    report: dict[str, float] = {}
    error = []
    for number, edge in enumerate(heads.edges):
        logits = edge(rows) @ table.T
        bins = truth.place[:, number] * (BINS - 1)
        log = functional.log_softmax(logits, dim=-1)
        name = f"edge{number}"
        parts[name] = -(spread(bins, width) * log).sum(-1).mean() * 0.4
        error.append((logits.detach().argmax(-1) - bins).abs().mean() / (BINS - 1) * small.SIDE)
    report["box_px"] = float(sum(error) / len(error))
    if truth.codes is not None:
        wanted = heads.seen_codes(rows).view(-1, CODES, small.WIDTH)
        logits = wanted @ heads.codes.T
        parts["codes"] = functional.cross_entropy(logits.flatten(0, 1), truth.codes.flatten()) * 0.4
        report["codes"] = float((logits.detach().argmax(-1) == truth.codes).float().mean())
    covered = truth.kind > 0
    report["kind"] = float((kind.detach()[covered].argmax(-1) == truth.kind[covered]).float().mean())
    report["empty"] = float((kind.detach()[~covered].argmax(-1) == 0).float().mean())
    report["colour"] = float((colour.detach()[covered].argmax(-1) == truth.colour[covered]).float().mean())
    written = truth.word > 0
    if written.any():
        report["word"] = float((word.detach()[written].argmax(-1) == truth.word[written]).float().mean())
    return parts, report
