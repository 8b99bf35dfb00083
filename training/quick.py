"""A quick judgement of a model by free decoding on a few held-out scenes, to tell a better checkpoint from a worse one.

Knows pools and how to score answers. It is no substitute for `training.evaluate`, which goes through the app's own
engine and parser on many more scenes.
"""

import copy
import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration

from training import grammar, mask_codec
from training import model as small
from training.examples import Examples, Found, matching, things
from training.finetune import Score
from training.mixed import working_dtype
from training.saving import TrainingError

_OBJECT = re.compile(r"<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>((?:<seg\d{3}>){16})?((?:(?! ;)[^<])*)")
WEIGHTS = {"detect_f1": 3.0, "absent": 1.0, "mask_iou": 1.5, "caption": 2.0, "answer": 2.0, "ocr": 1.5}
"""How much each part counts in the one number."""


class Judge:
    """Scores a model on the first scenes of a held-out pool, always with the same prompts."""

    def __init__(self, held_out: Examples, codec: Path, *, scenes: int = 64, device: str = "cpu") -> None:
        self._examples = held_out
        self._count = scenes
        self._device = device
        self._codec = None
        if codec.exists():
            try:
                self._codec = mask_codec.read(codec)
            except TrainingError:
                self._codec = None

    def __call__(self, model: PaliGemmaForConditionalGeneration, table: torch.Tensor) -> Score:
        """Scores a model whose embedding table is `table`."""
        speaker = copy.deepcopy(model)
        with torch.no_grad():
            speaker.model.language_model.embed_tokens.weight.copy_(table)
        frequencies = speaker.model.language_model.rotary_emb.inv_freq.clone()
        # As rounded as it is published, in the dtype that is fastest here.
        speaker = speaker.to(torch.bfloat16).to(working_dtype(self._device)).eval()
        speaker.model.language_model.rotary_emb.inv_freq = frequencies
        pool, rng = self._examples.pool, random.Random(7)
        found = [things(pool, index, False, None) for index in range(self._count)]
        scenes = [pool.scene(index) for index in range(self._count)]
        absent = [rng.choice(grammar.absent_phrases(scene, rng)) for scene in scenes]
        asked = [self._phrase(own, rng) for own in found]
        parts: dict[str, float] = {}
        everyone = range(self._count)
        said = self._say(speaker, everyone, [f"detect {phrase}" for phrase in asked], 56)
        parts |= self._detection(said, asked, found)
        said = self._say(speaker, everyone, [f"detect {phrase}" for phrase in absent], 6)
        parts["absent"] = float(np.mean(["<loc" not in text for text in said]))
        if self._examples.codes is not None and self._codec is not None:
            said = self._say(speaker, everyone, [f"segment {phrase}" for phrase in asked], 72)
            parts["mask_iou"] = self._masks(said, asked)
        said = self._say(speaker, everyone, ["cap en"] * self._count, 40)
        facts = [
            grammar.caption_facts(text, "en") == grammar.scene_facts(s) for text, s in zip(said, scenes, strict=True)
        ]
        parts["caption"] = float(np.mean(facts))
        written = [index for index in everyone if scenes[index].writing]
        said = self._say(speaker, written, ["ocr"] * len(written), 6)
        right = [text == scenes[i].writing.text for text, i in zip(said, written, strict=True)]  # type: ignore[union-attr]
        parts["ocr"] = float(np.mean(right))
        pictures, prompts, answers = [], [], []
        for index, scene in enumerate(scenes):
            for question in rng.sample(questions := grammar.questions(scene, rng), min(2, len(questions))):
                pictures.append(index)
                prompts.append(f"answer en {question.wordings[0].en}")
                answers.append(question.answer.en)
        said = self._say(speaker, pictures, prompts, 12)
        parts["answer"] = float(np.mean([text == answer for text, answer in zip(said, answers, strict=True)]))
        weight = sum(WEIGHTS.values())
        return Score(sum(parts.get(name, 0.0) * own for name, own in WEIGHTS.items()) / weight, parts)

    def _phrase(self, found: Sequence[Found], rng: random.Random) -> str:
        thing = rng.choice(found)
        return thing.kind if rng.random() < 0.5 else f"{thing.colour} {thing.kind}"

    @torch.no_grad()
    def _say(
        self, model: PaliGemmaForConditionalGeneration, pictures: Sequence[int], prompts: Sequence[str], most: int
    ) -> list[str]:
        if not prompts:
            return []
        inventory = self._examples.inventory
        prefixes = [self._examples.prefix(prompt) for prompt in prompts]
        length = max(len(prefix) for prefix in prefixes)
        ids = torch.full((len(prompts), length + small.IMAGE_TOKENS), inventory.pad)
        seen = torch.zeros_like(ids)
        for row, prefix in enumerate(prefixes):
            line = [inventory.image] * small.IMAGE_TOKENS + prefix
            ids[row, -len(line) :] = torch.tensor(line)
            seen[row, -len(line) :] = 1
        pixels = torch.from_numpy(self._examples.pool.images[np.asarray(pictures)]).to(self._device)
        normal = pixels.permute(0, 3, 1, 2).to(model.dtype) / 127.5 - 1
        written = model.generate(
            input_ids=ids.to(self._device),
            pixel_values=normal,
            attention_mask=seen.to(self._device),
            token_type_ids=torch.zeros_like(ids).to(self._device),
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=inventory.eos,
            pad_token_id=inventory.pad,
        )
        return inventory.tokenizer.batch_decode(written[:, ids.shape[1] :].cpu(), skip_special_tokens=True)

    def _detection(self, said: Sequence[str], asked: Sequence[str], found: Sequence[list[Found]]) -> dict[str, float]:
        hits, predicted, real, overlaps = 0, 0, 0, []
        for text, phrase, own in zip(said, asked, found, strict=True):
            left = matching(phrase, own)
            real += len(left)
            for match in _OBJECT.finditer(text):
                predicted += 1
                box = tuple(float(v) for v in match.groups()[:4])
                best = max(left, key=lambda thing: _overlap(box, thing.bins), default=None)
                if best is None or match[6].strip() != phrase or _overlap(box, best.bins) < 0.5:
                    continue
                overlaps.append(_overlap(box, best.bins))
                left.remove(best)
                hits += 1
        return {
            "detect_f1": 2 * hits / max(1, predicted + real),
            "box_iou": float(np.mean(overlaps)) if overlaps else 0.0,
        }

    def _masks(self, said: Sequence[str], asked: Sequence[str]) -> float:
        """Mean overlap of the first object's mask with the best true one, 0 where there is none."""
        assert self._codec is not None
        pool, scores = self._examples.pool, []
        side = pool.images.shape[1]
        for index, (text, phrase) in enumerate(zip(said, asked, strict=True)):
            match = _OBJECT.search(text)
            if match is None or match[5] is None:
                scores.append(0.0)
                continue
            y0, x0, y1, x1 = (float(v) / 1023 * side for v in match.groups()[:4])
            codes = torch.tensor([[int(v) for v in re.findall(r"\d{3}", match[5])]])
            mask = _paste(self._codec.decode(codes)[0, 0].numpy(), (x0, y0, x1, y1), side)
            best = 0.0
            for row in range(pool.first[index], pool.first[index + 1]):
                kind, colour = grammar.KINDS[pool.kinds[row]].en, grammar.COLOURS[pool.colours[row]].en
                if phrase in (kind, f"{colour} {kind}"):
                    true = _paste(pool.silhouettes(np.array([row]))[0] * 2.0 - 1, tuple(pool.boxes[row]), side)
                    best = max(best, (mask & true).sum() / max(1, (mask | true).sum()))
            scores.append(best)
        return float(np.mean(scores))


def _paste(values: np.ndarray, box: tuple[float, ...], side: int) -> np.ndarray:
    x_min, y_min, x_max, y_max = (round(v) for v in box)
    canvas = np.zeros((side, side), dtype=bool)
    if x_max <= x_min or y_max <= y_min:
        return canvas
    window = Image.fromarray(values.astype(np.float32)).resize(
        (x_max - x_min, y_max - y_min), Image.Resampling.BILINEAR
    )
    part = np.asarray(window) > 0
    canvas[y_min:y_max, x_min:x_max] = part[: side - y_min, : side - x_min]
    return canvas


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes given as two corners."""
    high = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    wide = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = high * wide
    areas = sum(max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b))
    return both / max(1e-9, areas - both)
