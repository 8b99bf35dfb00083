"""What the model's processor makes of a picture and a prompt, in a fraction of its time.

Pixels and token ids are those of transformers' `PaliGemmaProcessor`, bit for bit. That spends most of its time on
checks and copies under Python's lock, for which the thread that runs the model then waits.
"""

import threading

import numpy as np
import torch
from PIL import Image
from transformers import PaliGemmaProcessor

from inference.batch import MAX_PROMPT_TOKENS
from inference.errors import InvalidInput
from inference.sentences import Sentence


class Reader:
    """Pictures and prompts as the model takes them. May be used by several threads.

    Args:
        processor: The model's own; changed by nobody from here on.
    """

    def __init__(self, processor: PaliGemmaProcessor) -> None:
        self._tokenizer = processor.tokenizer
        self._lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once
        self._before = [processor.image_token_id] * processor.image_seq_length
        settings = processor.image_processor
        self._size = (settings.size["width"], settings.size["height"])
        self._resample = settings.resample
        # Rescaling and normalising depend on nothing but a pixel's own value, of which there are 256 a channel.
        values = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert("RGB")
        levels = settings(images=values, do_resize=False, return_tensors="np")["pixel_values"]
        self._levels = np.asarray(levels, dtype=np.float32)[0, :, 0]  # (3, 256)

    def picture(self, image: Image.Image) -> torch.Tensor:
        """Pixels (1, 3, height, width) of an RGB picture of any size, squashed to the model's square."""
        # Pillow resizes without Python's lock.
        pixels = np.asarray(image.resize(self._size, self._resample))
        channels = [np.take(levels, pixels[..., channel]) for channel, levels in enumerate(self._levels)]
        return torch.from_numpy(np.stack(channels)[None])

    def prompt(self, prompt: str) -> torch.Tensor:
        """Token ids (1, length): the picture's places, `<bos>`, the prompt and a newline.

        Raises:
            InvalidInput: The prompt has more than `MAX_PROMPT_TOKENS` tokens.
        """
        with self._lock:
            ids = self._tokenizer(f"{self._tokenizer.bos_token}{prompt}\n", add_special_tokens=False)["input_ids"]
        count = len(ids) - 2  # <bos> and the newline are not the asker's
        if count > MAX_PROMPT_TOKENS:
            raise InvalidInput(
                Sentence(
                    "The prompt is {count} tokens long; at most {most} are allowed. Shorten it.",
                    count=count,
                    most=MAX_PROMPT_TOKENS,
                )
            )
        return torch.tensor([self._before + ids])

    def text(self, ids: list[int]) -> str:
        """What these tokens say, without special ones."""
        with self._lock:
            return str(self._tokenizer.decode(ids, skip_special_tokens=True))
