"""Trains the two small translators, English to Spanish and back, as MarianMT models with their sentencepiece files.

Knows the sentence pairs and MarianMT. Knows nothing of pictures, and nothing of how the app translates: what is written
here loads as any published MarianMT checkpoint does.
"""

import io
import itertools
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sentencepiece
import torch
from tqdm import tqdm
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

from training.optimiser import Optimiser, Rates
from training.parallel import Pair, Part, pairs
from training.phrases import Language
from training.saving import Clock, TrainingError, every, load, save, schedule

Direction = Literal["en-es", "es-en"]

_LANGUAGES: dict[Direction, tuple[Language, Language]] = {"en-es": ("en", "es"), "es-en": ("es", "en")}
_STEPS = 10_000
_BATCH_TOKENS = 900
_POOL_PAIRS = 4000
_RATES = Rates(matrices=6e-3, others=2e-3)
_KEPT_SHARE = 0.998
"""What the averaged weights keep of themselves at every step."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a translator is.

    Attributes:
        pieces: Of the vocabulary that both languages share.
        sentences: How many pairs the pieces are learnt from.
        width, feed_forward, heads, encoder_layers, decoder_layers: Of the transformer.
    """

    pieces: int = 2000
    sentences: int = 30_000
    width: int = 128
    feed_forward: int = 384
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 2


@dataclass(frozen=True, slots=True)
class _Batch:
    """Token ids (rows, length): padded sources with their mask, and labels with -100 where there is nothing."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


def train(
    direction: Direction,
    out: Path,
    state: Path,
    *,
    seconds: float | None = None,
    threads: int = 1,
    seed: int = 0,
    steps: int | None = _STEPS,
    shape: Shape | None = None,
) -> None:
    """Trains one translator, going on from its last save, and writes it as a MarianMT checkpoint.

    Args:
        direction: From which language to which.
        out: The folder of the checkpoint; it is replaced as a whole when training ends.
        state: The file of the unfinished training. The same file goes on where it was left.
        seconds: How long to train in all, earlier runs included; None for the given number of steps.
        threads: Threads of the processor.
        seed: The same seed gives the same sentences.
        steps: How many steps to train where no time is given.
        shape: How large the translator is; None for the size that the repository carries.

    Raises:
        TrainingError: The save cannot be used: it is cut short, or of another part or shape.
    """
    torch.set_num_threads(threads)
    part = f"translation-{direction}"
    saved = load(state, part) if state.exists() else None
    run = _Run(direction, shape or Shape(), seed, spm=None if saved is None else _saved_pieces(saved, state))
    if saved is not None:
        run.restore(saved, state)
    clock = Clock(
        steps=steps if seconds is None else None,
        minutes=None if seconds is None else seconds / 60,
        done_steps=run.steps,
        done_seconds=run.seconds,
    )
    due_to_save = every(60)
    with tqdm(total=1000, desc=part, bar_format="{desc} {bar} {elapsed}<{remaining}{postfix}") as bar:
        for batch in run.batches():
            if clock.share >= 1:
                break
            loss = run.step(batch, schedule(clock.share, run.steps, warm_up=100, decline=0.6))
            clock.steps, run.seconds = run.steps, clock.seconds
            if run.steps % 20 == 0:
                bar.set_postfix_str(f"step {run.steps} loss {loss:.4f}")
                bar.update(int(1000 * clock.share) - bar.n)
            if due_to_save():
                save(state, run.state())
    save(state, run.state())
    run.export(out)
    held_out = list(itertools.islice(unshared_pairs(direction, part="held-out", seed=seed), 400))
    tqdm.write(f"{part}: {exact_share(out, held_out):.3f} of held-out sentences exactly right")


def unshared_pairs(direction: Direction, *, part: Part, seed: int) -> Iterator[Pair]:
    """Pairs whose draw no training shares; those of "held-out" hold combinations that training never sees."""
    return pairs(random.Random(f"test {direction} {seed}"), source=_LANGUAGES[direction][0], part=part)


def exact_share(folder: Path, examples: list[Pair]) -> float:
    """The share of pairs that the translator in a folder gets right to the letter, decoding freely."""
    translated = translate(folder, [pair.source for pair in examples])
    return sum(mine == pair.target for mine, pair in zip(translated, examples, strict=True)) / len(examples)


def translate(folder: Path, sources: list[str]) -> list[str]:
    """Translates sentences as any user of the checkpoint would, a batch at a time."""
    tokenizer = MarianTokenizer.from_pretrained(folder)
    model = MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval()
    results: list[str] = []
    for start in range(0, len(sources), 64):
        inputs = tokenizer(sources[start : start + 64], return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            tokens = model.generate(**inputs)
        results += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return results


class _Run:
    """A translator in training: its pieces, model, averaged weights and optimiser."""

    def __init__(self, direction: Direction, shape: Shape, seed: int, *, spm: bytes | None) -> None:
        self.part = f"translation-{direction}"
        self.steps = 0
        self.seconds = 0.0
        self._source, self._target = _LANGUAGES[direction]
        self._shape = shape
        self._seed = seed
        self._spm = spm or _train_pieces(self._source, shape, seed)
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=self._spm)
        self._vocabulary = _vocabulary(self._processor)
        self._pad, self._eos = self._vocabulary["<pad>"], self._vocabulary["</s>"]
        torch.manual_seed(seed)
        self._model = MarianMTModel(_config(shape, len(self._vocabulary))).train()
        self._average = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
        self._optimiser = _optimiser(self._model)

    # Data

    def batches(self) -> Iterator[_Batch]:
        """Batches from the present step on, without end; of one pool the sentences of like length share a batch."""
        for index in itertools.count():
            rng = random.Random(f"{self.part} {self._seed} {self.steps} {index}")
            drawn = list(itertools.islice(pairs(rng, source=self._source, part="training"), _POOL_PAIRS))
            sources = self._encode([pair.source for pair in drawn])
            targets = self._encode([pair.target for pair in drawn])
            rows = sorted(zip(sources, targets, strict=True), key=lambda row: (len(row[0]), len(row[1])))
            batches = list(_packed(rows))
            rng.shuffle(batches)
            yield from map(self._padded, batches)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        pieces = self._processor.encode(texts, out_type=str)
        return [[self._vocabulary[piece] for piece in row] + [self._eos] for row in pieces]

    def _padded(self, rows: list[tuple[list[int], list[int]]]) -> _Batch:
        sources = [torch.tensor(source) for source, _ in rows]
        targets = [torch.tensor(target) for _, target in rows]
        input_ids = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=self._pad)
        labels = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100)
        return _Batch(input_ids, (input_ids != self._pad).long(), labels)

    # Training

    def step(self, batch: _Batch, factor: float) -> float:
        """One update; `factor` scales the learning rate. Gives the loss."""
        output = self._model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimiser.step(factor)
        self._model.zero_grad(set_to_none=True)
        self.steps += 1
        kept = min(_KEPT_SHARE, self.steps / (self.steps + 10))
        with torch.no_grad():
            for name, value in self._model.state_dict().items():
                self._average[name].lerp_(value, 1 - kept)
        return float(output.loss.detach())

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on."""
        return {
            "part": self.part,
            "steps": self.steps,
            "seconds": self.seconds,
            "spm": torch.frombuffer(bytearray(self._spm), dtype=torch.uint8),
            "model": self._model.state_dict(),
            "average": self._average,
            "optimiser": self._optimiser.state(),
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Takes over a save. Raises TrainingError when it is of another shape."""
        try:
            self._model.load_state_dict(state["model"])
            for name, value in self._average.items():
                value.copy_(state["average"][name])
            self._optimiser.restore(state["optimiser"])
            self.steps, self.seconds = int(state["steps"]), float(state["seconds"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _misfit(path) from error

    # Export

    def export(self, out: Path) -> None:
        """Writes the averaged weights and the tokenizer's files; the folder is replaced as a whole or not at all."""
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            self._write(fresh)
            fresh.chmod(0o755)
            _replace(out, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        for side in ("source.spm", "target.spm"):
            (folder / side).write_bytes(self._spm)
        vocabulary = json.dumps(self._vocabulary, ensure_ascii=False, indent=0)
        (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
        tokenizer = MarianTokenizer(
            source_spm=str(folder / "source.spm"),
            target_spm=str(folder / "target.spm"),
            vocab=str(folder / "vocab.json"),
            source_lang=self._source,
            target_lang=self._target,
            model_max_length=256,
        )
        tokenizer.save_pretrained(folder)
        model = MarianMTModel(_config(self._shape, len(self._vocabulary)))
        model.load_state_dict(self._average)
        model.generation_config = GenerationConfig(
            num_beams=1,
            max_length=256,
            decoder_start_token_id=self._pad,
            pad_token_id=self._pad,
            eos_token_id=self._eos,
            forced_eos_token_id=self._eos,
            bad_words_ids=[[self._pad]],
        )
        model.half().save_pretrained(folder)


def _optimiser(model: MarianMTModel) -> Optimiser:
    matrices = [value for name, value in model.named_parameters() if ".layers." in name and value.ndim == 2]
    chosen = set(map(id, matrices))
    # The sines and cosines of the positions stay as they are.
    others = [value for value in model.parameters() if id(value) not in chosen and value.requires_grad]
    return Optimiser(matrices=matrices, others=others, rates=_RATES)


def _replace(out: Path, fresh: Path) -> None:
    """Puts a finished folder in the place of another one, which goes only once the new one stands."""
    old = out.with_name(f".{out.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    fresh.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def _packed(rows: list[tuple[list[int], list[int]]]) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Rows, sorted by length, in batches of about the same number of tokens."""
    batch: list[tuple[list[int], list[int]]] = []
    for row in rows:
        batch.append(row)
        if len(batch) * max(len(row[0]), len(row[1])) >= _BATCH_TOKENS:
            yield batch
            batch = []
    if batch:
        yield batch


def _saved_pieces(state: dict[str, Any], path: Path) -> bytes:
    try:
        return bytes(state["spm"].numpy())
    except (KeyError, AttributeError) as error:
        raise _misfit(path) from error


def _misfit(path: Path) -> TrainingError:
    return TrainingError(f"The save {path} belongs to a translator of another shape: move it away to start afresh.")


def _train_pieces(source: Language, shape: Shape, seed: int) -> bytes:
    """The sentencepiece model of both languages; letters that it has never seen fall back to their bytes."""
    drawn = itertools.islice(pairs(random.Random(f"pieces {seed}"), source=source, part="training"), shape.sentences)
    texts = [text for pair in drawn for text in (pair.source, pair.target)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=shape.pieces,
        model_type="unigram",
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        unk_surface="",
    )
    return model.getvalue()


def _vocabulary(processor: sentencepiece.SentencePieceProcessor) -> dict[str, int]:
    """Piece to id in MarianMT's order: the end first, then the unknown piece, padding last."""
    pieces = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    ordinary = [piece for piece in pieces if piece not in ("<s>", "</s>", "<unk>")]
    return {piece: index for index, piece in enumerate(("</s>", "<unk>", *ordinary, "<pad>"))}


def _config(shape: Shape, vocabulary: int) -> MarianConfig:
    return MarianConfig(
        vocab_size=vocabulary,
        decoder_vocab_size=vocabulary,
        d_model=shape.width,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.feed_forward,
        decoder_ffn_dim=shape.feed_forward,
        max_position_embeddings=512,
        scale_embedding=True,
        activation_function="swish",
        dropout=0.0,
        pad_token_id=vocabulary - 1,
        decoder_start_token_id=vocabulary - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
