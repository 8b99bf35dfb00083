"""The mask codec: silhouettes of 64 x 64 pixels to 16 codes out of 128 and back.

Knows masks and codes. Knows nothing of boxes, tokens or pictures. The decoder is the one of
`inference.masks`, with exactly the arrays of the published `vae-oid.npz`; the encoder mirrors it: four convolutions of
stride 2 (1, 32, 64, 128, 128 channels), one residual block and a 1 x 1 convolution to the 512 numbers of a code.
"""

import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from inference.masks import CODE_WIDTH, CODEBOOK, CODES, Residual, decoder_layers
from training.mixed import working_dtype
from training.pool import Pool
from training.saving import Clock, TrainingError, every, load, save, schedule

LOG = logging.getLogger(__name__)
PART = "codec"
_PLAIN_STEPS = 150
"""Steps as a plain autoencoder before the codebook is laid out: its first entries then start where data lies."""


class MaskCodec(nn.Module):
    """The whole codec. Masks are float (n, 1, 64, 64), -1 outside and 1 inside; codes int64 (n, 16), row by row."""

    embedding: torch.Tensor
    sums: torch.Tensor
    counts: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(128, 128, 4, stride=2, padding=1),
            nn.ReLU(),
            Residual(),
            nn.Conv2d(128, CODE_WIDTH, 1),
        )
        self.decoder = decoder_layers()
        self.register_buffer("embedding", torch.randn(CODEBOOK, CODE_WIDTH))
        self.register_buffer("sums", torch.zeros(CODEBOOK, CODE_WIDTH))
        self.register_buffer("counts", torch.zeros(CODEBOOK))

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Float (rows, 512) to the numbers of the nearest codes, int64 (rows,)."""
        vectors = vectors.float()
        return (self.embedding.pow(2).sum(1) - 2 * vectors @ self.embedding.T).argmin(1)

    @torch.no_grad()
    def encode(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks to codes."""
        vectors = self.encoder(masks).permute(0, 2, 3, 1).reshape(-1, CODE_WIDTH)
        return self.nearest(vectors).view(len(masks), CODES)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes to masks, about -1 to 1."""
        grid = self.embedding[codes].view(len(codes), 4, 4, CODE_WIDTH).permute(0, 3, 1, 2)
        return self.decoder(grid)


def alike(codec: MaskCodec) -> torch.Tensor:
    """What part of a code's target goes to each code, (CODEBOOK, CODEBOOK), every row adding up to one.

    Many codes draw nearly the same: half of a mask's codes replaced by their neighbours leave it as it was, to 0.02 of
    its IoU. Were each the only right answer, the certainty of a shape would be spread over its neighbours' codes, and a
    code that stands alone for a wrong shape would win. The share falls with the squared distance of two codes, measured
    by how far the nearest neighbour is on average.
    """
    squared = torch.cdist(codec.embedding, codec.embedding).pow(2)
    nearest = squared.clone().fill_diagonal_(torch.inf).amin(dim=1).mean()
    return torch.softmax(-squared / nearest, dim=1)


def from_bool(masks: np.ndarray) -> torch.Tensor:
    """Bool (n, 64, 64) to float (n, 1, 64, 64) of -1 and 1."""
    return torch.from_numpy(masks.astype(np.float32))[:, None] * 2 - 1


def overlap(decoded: torch.Tensor, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of decoded masks with true ones, (n,)."""
    found = decoded[:, 0].float().numpy() > 0
    return (found & masks).sum((1, 2)) / np.maximum(1, (found | masks).sum((1, 2)))


def write(codec: MaskCodec, path: Path) -> None:
    """Writes the arrays in float16 under the names that `vae-oid.npz` has."""
    arrays = {"_vq_vae._embedding": codec.embedding.half().numpy()}
    for half in ("encoder", "decoder"):
        for name, value in getattr(codec, half).state_dict().items():
            arrays[f"{half}.{name}"] = value.half().numpy()
    partial = path.with_name(path.stem + ".partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def read(path: Path) -> MaskCodec:
    """The codec from such a file. Raises TrainingError when it is none."""
    codec = MaskCodec()
    try:
        with np.load(path) as arrays:
            codec.embedding.copy_(torch.from_numpy(arrays["_vq_vae._embedding"].astype(np.float32)))
            for half in ("encoder", "decoder"):
                module = getattr(codec, half)
                names = module.state_dict()
                state = {n: torch.from_numpy(arrays[f"{half}.{n}"].astype(np.float32)) for n in names}
                module.load_state_dict(state)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"{path} is not a mask codec of this shape: train one with `python -m training.train codec`."
        ) from error
    return codec


@dataclass(frozen=True, slots=True)
class _Silhouettes:
    """Silhouettes of a pool in random order."""

    pool: Pool
    seed: int

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Endless bool (size, 64, 64)."""
        rng = np.random.default_rng(self.seed)
        while True:
            masks = self.pool.silhouettes(rng.integers(0, len(self.pool.kinds), size))
            mirrored = rng.random(size) < 0.5
            masks[mirrored] = masks[mirrored][:, :, ::-1]
            yield masks


def train(
    pool: Pool,
    held_out: Pool,
    *,
    path: Path,
    out: Path,
    steps: int | None,
    minutes: float | None,
    batch: int = 128,
    seed: int = 0,
) -> MaskCodec:
    """Trains a codec on a pool's silhouettes, keeps saves in `path` and writes the finished arrays to `out`."""
    torch.manual_seed(seed)
    codec = MaskCodec()
    optimiser = torch.optim.AdamW(codec.parameters(), lr=1.0, weight_decay=1e-4, betas=(0.9, 0.98))
    done_steps, done_seconds = 0, 0.0
    if path.exists():
        state = load(path, PART)
        try:
            codec.load_state_dict(state["codec"])
            optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(f"The save {path} belongs to a codec of another shape: move it away.") from error
        done_steps, done_seconds = state["steps"], state["seconds"]
    codec = codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    clock = Clock(steps=steps, minutes=minutes, done_steps=done_steps, done_seconds=done_seconds)
    test = held_out.silhouettes(np.arange(400))

    def keep() -> None:
        state = {
            "part": PART,
            "steps": clock.steps,
            "seconds": clock.seconds,
            "codec": codec.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        save(path, state)
        write(codec, out)

    look, keep_now = every(30), every(60)
    bar = tqdm(total=1000, desc="codec", unit="‰")
    for masks in _Silhouettes(pool, seed + done_steps).batches(batch):
        share = clock.share
        if share >= 1:
            break
        bar.n = int(1000 * share)
        for group in optimiser.param_groups:
            group["lr"] = 1.5e-3 * schedule(share, clock.steps, decline=0.5)
        target = from_bool(masks).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=working_dtype() is torch.bfloat16):
            grid = codec.encoder(target)
            if clock.steps < _PLAIN_STEPS:
                quantised, cost = grid, torch.zeros(())
            else:
                if clock.steps == _PLAIN_STEPS:
                    _lay_out(codec, pool, seed)
                quantised, cost = _quantise(codec, grid.float(), restart=share < 0.7)
            decoded = codec.decoder(quantised)
        loss = functional.mse_loss(decoded.float(), target) + 0.25 * cost
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimiser.step()
        clock.steps += 1
        if clock.steps % 10 == 0:
            bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
        if look() and clock.steps > _PLAIN_STEPS:
            codes = codec.encode(from_bool(test))
            iou = overlap(codec.decode(codes), test).mean()
            LOG.info("step %d loss %.3f held-out IoU %.4f codes in use %d", clock.steps, loss, iou, len(codes.unique()))
        if keep_now():
            keep()
    bar.close()
    keep()
    codes = codec.encode(from_bool(test))
    LOG.info("done: held-out IoU %.4f codes in use %d", overlap(codec.decode(codes), test).mean(), len(codes.unique()))
    return codec


@torch.no_grad()
def _lay_out(codec: MaskCodec, pool: Pool, seed: int) -> None:
    """Starts the codebook as the centres that k-means finds among encoded silhouettes."""
    rng = np.random.default_rng(seed)
    vectors = []
    for _ in range(8):
        masks = from_bool(pool.silhouettes(rng.integers(0, len(pool.kinds), 128)))
        vectors.append(codec.encoder(masks).permute(0, 2, 3, 1).reshape(-1, CODE_WIDTH).float())
    data = torch.cat(vectors)
    codec.embedding.copy_(data[torch.randperm(len(data))[:CODEBOOK]])
    for _ in range(12):
        nearest = codec.nearest(data)
        counts = torch.bincount(nearest, minlength=CODEBOOK).float()
        sums = torch.zeros_like(codec.embedding).index_add_(0, nearest, data)
        empty = counts == 0
        codec.embedding.copy_(sums / counts.clamp(min=1)[:, None])
        codec.embedding[empty] = data[torch.randint(len(data), (int(empty.sum()),))]
    codec.counts.fill_(20)
    codec.sums.copy_(codec.embedding * 20)


def _quantise(codec: MaskCodec, grid: torch.Tensor, *, restart: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Nearest codes with a straight-through gradient, and the cost of lying far from them.

    The codebook follows the running mean of what chose each code; a code that nobody chooses any more is moved onto a
    vector of the batch, so that none lies dead.
    """
    vectors = grid.permute(0, 2, 3, 1).reshape(-1, CODE_WIDTH)
    nearest = codec.nearest(vectors.detach())
    chosen = codec.embedding[nearest]
    with torch.no_grad():
        counts = torch.bincount(nearest, minlength=CODEBOOK).float()
        sums = torch.zeros_like(codec.sums).index_add_(0, nearest, vectors.detach())
        codec.counts.lerp_(counts, 0.02)
        codec.sums.lerp_(sums, 0.02)
        idle = codec.counts < 0.5
        if restart and idle.any():
            fresh = vectors.detach()[torch.randint(len(vectors), (int(idle.sum()),))]
            codec.sums[idle] = fresh * 2
            codec.counts[idle] = 2
        codec.embedding.copy_(codec.sums / codec.counts.clamp(min=1e-3)[:, None])
    cost = functional.mse_loss(vectors, chosen.detach())
    quantised = vectors + (chosen - vectors).detach()
    n, _, height, width = grid.shape
    return quantised.view(n, height, width, CODE_WIDTH).permute(0, 3, 1, 2), cost


def codes_of(codec: MaskCodec, pool: Pool) -> np.ndarray:
    """uint8 (2, things, 16): the codes of every silhouette of a pool, upright and mirrored."""
    result = np.zeros((2, len(pool.kinds), CODES), dtype=np.uint8)
    for start in tqdm(range(0, len(pool.kinds), 512), desc="encoding silhouettes", unit="batch"):
        rows = np.arange(start, min(start + 512, len(pool.kinds)))
        masks = pool.silhouettes(rows)
        for mirrored in (0, 1):
            turned = np.ascontiguousarray(masks[:, :, ::-1]) if mirrored else masks
            with torch.autocast("cpu", torch.bfloat16, enabled=working_dtype() is torch.bfloat16):
                result[mirrored, rows] = codec.encode(from_bool(turned)).numpy()
    return result
