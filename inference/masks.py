"""Turns the 16 mask codes of an object into a mask in its box.

Knows the arrays of `vae-oid.npz` (the decoder half of a VQ-VAE, published with PaliGemma) and the geometry of boxes;
knows nothing of texts, models or colours. The decoder is loaded by the caller and passed in.
"""

import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from inference.errors import ModelUnavailable, first_line
from inference.sentences import Sentence
from inference.types import Box, Detection

CODES = 16
"""Codes of one mask: 4 rows of 4, row by row."""

CODEBOOK = 128
"""How many different codes there are."""

CODE_WIDTH = 512
"""Numbers of an entry of the codebook."""

MASK_SIDE = 64
"""Width and height of a decoded mask, in its own pixels."""

_GRID = 4
_EMBEDDING = "_vq_vae._embedding"
_ROWS_AT_ONCE = 512  # bounds the floats held while a mask is drawn into a large box


class Residual(nn.Module):
    """Adds to its input what three convolutions make of it: (n, 128, side, side) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, 128, 1),
        )  # fmt: skip

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """As torch calls it."""
        outputs: torch.Tensor = self.net(inputs)
        return inputs + outputs


def decoder_layers() -> nn.Sequential:
    """The decoder, (n, 512, 4, 4) to (n, 1, 64, 64); the places of its layers are those in the names of the arrays."""
    return nn.Sequential(
        nn.Conv2d(CODE_WIDTH, 128, 1), nn.ReLU(),
        Residual(),
        Residual(),
        nn.ConvTranspose2d(128, 128, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 1, 1),
    )  # fmt: skip


class MaskDecoder:
    """Decodes mask codes.

    Args:
        arrays: `_vq_vae._embedding` (128, 512) and `decoder.*` as in `vae-oid.npz`, of any float type; others are not
            looked at.

    Raises:
        ValueError: An array is missing, has another shape, or holds something else than finite numbers.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        with torch.device("meta"):
            layers = decoder_layers()
        shapes = {f"decoder.{name}": tuple(value.shape) for name, value in layers.state_dict().items()}
        shapes[_EMBEDDING] = (CODEBOOK, CODE_WIDTH)
        if missing := sorted(shapes.keys() - arrays.keys()):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(f"the array {missing[0]}{more} is missing")
        tensors: dict[str, torch.Tensor] = {}
        for name, shape in shapes.items():
            array = arrays[name]
            if array.shape != shape:
                raise ValueError(f"the array {name} has the shape {array.shape} instead of {shape}")
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"the array {name} holds something else than finite numbers")
            tensors[name] = torch.from_numpy(np.array(array, dtype=np.float32))
        self._codebook = tensors.pop(_EMBEDDING)
        layers.load_state_dict({name.removeprefix("decoder."): value for name, value in tensors.items()}, assign=True)
        self._layers = layers.requires_grad_(False).eval()

    @classmethod
    def from_file(cls, path: Path) -> "MaskDecoder":
        """Loads a decoder from an `.npz` file laid out like `vae-oid.npz`.

        Raises:
            ModelUnavailable: The file is not there, is no `.npz` file, or its arrays are not those of the decoder.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelUnavailable(Sentence("The file of the mask decoder is not there: {path}.", path=str(path)))
        try:
            if not zipfile.is_zipfile(path):
                raise ValueError("it is not an .npz file")
            # The file comes from a hub: pickled objects in it would run code. A member that is no array comes as bytes.
            with np.load(path, allow_pickle=False) as file:
                names = [name for name in file.files if name.startswith(("decoder.", _EMBEDDING))]
                arrays = {name: np.asarray(file[name]) for name in names}
            return cls(arrays)
        # What zipfile and NumPy raise for damaged, encrypted and unknown content.
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelUnavailable(
                Sentence(
                    "The mask decoder cannot be loaded from {path}: {why}. It needs the arrays of vae-oid.npz; "
                    "fetching the file again may help.",
                    path=str(path),
                    why=first_line(error),
                )
            ) from error

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decodes codes to masks.

        Args:
            codes: (n, 16) integers from 0 to 127; n may be 0.

        Returns:
            (n, 64, 64) float32, about -1 to 1; above 0 is the object.

        Raises:
            ValueError: The shape, the type or a value is not so.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != CODES:
            raise ValueError(f"codes have the shape (n, {CODES}), not {codes.shape}")
        if not len(codes):
            return np.zeros((0, MASK_SIDE, MASK_SIDE), dtype=np.float32)
        if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= CODEBOOK:
            raise ValueError(f"codes are whole numbers from 0 to {CODEBOOK - 1}")
        entries = self._codebook[torch.from_numpy(codes.astype(np.int64))]
        grid = entries.reshape(-1, _GRID, _GRID, CODE_WIDTH).permute(0, 3, 1, 2)
        masks: np.ndarray = self._layers(grid)[:, 0].numpy()
        return masks


def pixel_box(box: Box) -> tuple[int, int, int, int]:
    """The pixels of a box: its edges rounded to the nearest border between pixels, at least one pixel wide and high.

    What is drawn and what is masked both use this, so that they agree.

    Returns:
        left, top, right, bottom; the last two are one past the last pixel. Not clipped to a picture.
    """
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in box)
    # A box below the size of a pixel is the pixel that holds its beginning.
    if right <= left:
        left = math.floor(box[0])
        right = left + 1
    if bottom <= top:
        top = math.floor(box[1])
        bottom = top + 1
    return left, top, right, bottom


def place(mask: np.ndarray, box: Box, width: int, height: int) -> np.ndarray:
    """Puts a decoded mask into its box.

    The mask is resized to the box with bilinear interpolation, and what is above 0 is kept. Only the pixels of the
    box that lie in the picture are computed. The result has one byte for each pixel of the picture; where the
    system hands out zeroed memory lazily, only the box takes up any.

    Args:
        mask: float (64, 64), stretched over the box.
        box: In pixels of the picture; it may reach over its edges.
        width: Of the picture, in pixels.
        height: The same.

    Returns:
        bool (height, width).

    Raises:
        ValueError: The mask has another shape, or the picture no pixels.
    """
    if mask.shape != (MASK_SIDE, MASK_SIDE):
        raise ValueError(f"a mask has the shape ({MASK_SIDE}, {MASK_SIDE}), not {mask.shape}")
    if width <= 0 or height <= 0:
        raise ValueError(f"a picture has at least one pixel, not {width} × {height}")
    placed = np.zeros((height, width), dtype=np.bool_)
    left, top, right, bottom = pixel_box(box)
    columns = np.arange(max(left, 0), min(right, width))
    rows = np.arange(max(top, 0), min(bottom, height))
    if not len(columns) or not len(rows):
        return placed
    mask = mask.astype(np.float32, copy=False)
    first_column, next_column, across = _samples(columns, left, right)
    first_row, next_row, down = _samples(rows, top, bottom)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        weight = down[part, None]
        lines = mask[first_row[part]] * (1 - weight) + mask[next_row[part]] * weight
        values = lines[:, first_column] * (1 - across) + lines[:, next_column] * across
        placed[rows[part][0] : rows[part][-1] + 1, columns[0] : columns[-1] + 1] = values > 0
    return placed


def add_masks(detections: Iterable[Detection], decoder: MaskDecoder, width: int, height: int) -> tuple[Detection, ...]:
    """Gives every detection that has codes its mask.

    Each mask is as large as the picture (a byte a pixel: 40 MB for 40 megapixels), so drop the results of large
    pictures when they are no longer needed.

    Args:
        detections: With boxes in pixels of the picture.
        decoder: Decodes all their codes at once.
        width: Of the picture, in pixels.
        height: The same.

    Returns:
        The detections in the same order; those without codes as they were.
    """
    detections = tuple(detections)
    codes = [detection.codes for detection in detections if detection.codes is not None]
    masks = iter(decoder.decode(np.array(codes, dtype=np.int64).reshape(-1, CODES)))
    return tuple(
        detection
        if detection.codes is None
        else replace(detection, mask=place(next(masks), detection.box, width, height))
        for detection in detections
    )


def _samples(pixels: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the centres of pixels lie in a mask that is stretched from start to stop.

    Returns:
        The two nearest rows (or columns) of the mask, and the weight of the second.
    """
    places = np.clip((pixels + 0.5 - start) * (MASK_SIDE / (stop - start)) - 0.5, 0, MASK_SIDE - 1)
    first = np.floor(places).astype(np.int64)
    return first, np.minimum(first + 1, MASK_SIDE - 1), (places - first).astype(np.float32)
