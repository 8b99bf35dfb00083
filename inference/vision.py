"""The vision tower and the projector: pixels in, image features out.

Knows no prompts and no requests.
"""

import logging
import warnings

import torch
from torch import nn
from transformers import PaliGemmaForConditionalGeneration

logger = logging.getLogger(__name__)


class Tower(nn.Module):
    """What a picture looks like to the text model, by the model's own modules.

    Args:
        model: In evaluation mode, on its device. It can be traced if its weights want no gradient.
    """

    def __init__(self, model: PaliGemmaForConditionalGeneration) -> None:
        super().__init__()
        self._vision = model.model.vision_tower
        self._projector = model.model.multi_modal_projector
        self._traced: torch.jit.ScriptModule | None = None

    @property
    def is_traced(self) -> bool:
        """Whether it runs without Python, so that another thread of this process computes at the same time."""
        return self._traced is not None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Image features (1, positions, width) of pixels (1, 3, height, width)."""
        # The vision tower may have another dtype than the rest, see `loading`.
        weight = next(self._vision.parameters())
        pixels = pixels.to(weight.device, weight.dtype)
        if self._traced is not None:
            return self._traced(pixels)  # type: ignore[no-any-return]
        features: torch.Tensor = self._projector(self._vision(pixels).last_hidden_state)
        return features

    def trace(self) -> None:
        """Records the operations, to repeat them without Python between them; where that fails, says so and goes on.

        A small model's operations take microseconds, and Python as long again. The results are the same, bit for bit.
        """
        vision = self._vision.config
        pixels = torch.zeros(1, vision.num_channels, vision.image_size, vision.image_size)
        try:
            # A trace cannot be taken in inference mode, nor from tensors that were made in it.
            with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of values that become constants, which the picture's size makes them
                traced = torch.jit.trace(lambda given: self(given), (pixels,), check_trace=False)  # type: ignore[no-untyped-call]
                for _ in range(2):  # it is optimised when it is first run
                    traced(pixels)
        except Exception as error:
            logger.warning("The vision tower is not traced: %s", error)
            return
        self._traced = traced
