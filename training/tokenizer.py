"""The tokenizer and processor of the embedded checkpoint.

Knows the token inventory: special tokens, bytes, characters, the world's words, then places and mask codes in the order
that PaliGemma has them. Knows nothing of models.
"""

import functools
import re
import string
import unicodedata
from dataclasses import dataclass

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import PaliGemmaProcessor, PreTrainedTokenizerFast
from transformers.models.siglip import SiglipImageProcessorPil

from training.grammar import WORDS, vocabulary_corpus
from training.lexicon import COLOURS, KINDS

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")
IMAGE = "<image>"
LOCATIONS, CODES = 1024, 128

# A word takes the space before it along; the separator of two objects is one token where an object's places follow.
_PIECES = r"▁;▁\z|▁?\p{L}+|▁?\p{N}|▁?[^\p{L}\p{N}▁\n]|▁|\n"
_WORD = re.compile(r" ?[^\W\d_]+| ?\d| ?[^\w\s]")


@dataclass(frozen=True, slots=True)
class Inventory:
    """Where the kinds of tokens stand: text below `first_location`, then places, codes and the image token."""

    tokenizer: PreTrainedTokenizerFast
    first_location: int
    first_code: int
    image: int
    pad: int
    eos: int
    bos: int

    @property
    def size(self) -> int:
        """Rows of the embedding table."""
        return self.image + 1

    def text_ids(self, word: str) -> list[int]:
        """The tokens of a word in running text and at the start of one."""
        found = (self.tokenizer.convert_tokens_to_ids(form) for form in (word, "▁" + word))
        return [number for number in found if number is not None and number != self.tokenizer.unk_token_id]


def build() -> PreTrainedTokenizerFast:
    """The tokenizer. Every word of the grammar is one token; anything else falls back to characters and bytes."""
    tokens = list(SPECIAL)
    tokens += [f"<0x{number:02X}>" for number in range(256)]
    tokens += ["▁", "\n", "▁;▁"]
    tokens += [chr(code) for code in range(33, 127)]
    tokens += list("áéíóúüñÁÉÍÓÚÜÑ¿¡«»“”‘’–—…°€àèìòùâêîôûäëïöçßæøåãõ")
    tokens += _words()
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    backend = Tokenizer(
        BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True, ignore_merges=True)
    )
    backend.normalizer = normalizers.Sequence([*_small_names(), normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    backend.add_tokens([AddedToken(f"<loc{n:04d}>", special=False, normalized=False) for n in range(LOCATIONS)])
    backend.add_tokens([AddedToken(f"<seg{n:03d}>", special=False, normalized=False) for n in range(CODES)])
    backend.add_special_tokens([AddedToken(IMAGE, special=True, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
    )


def inventory(tokenizer: PreTrainedTokenizerFast) -> Inventory:
    """Where the tokens of a tokenizer of ours stand."""
    ids = tokenizer.convert_tokens_to_ids
    return Inventory(
        tokenizer=tokenizer,
        first_location=ids("<loc0000>"),
        first_code=ids("<seg000>"),
        image=ids(IMAGE),
        pad=ids("<pad>"),
        eos=ids("<eos>"),
        bos=ids("<bos>"),
    )


def processor(tokenizer: PreTrainedTokenizerFast, *, side: int, image_tokens: int) -> PaliGemmaProcessor:
    """PaliGemma's processor around it: a picture squashed to the square, bicubic, mean and deviation 0.5."""
    pictures = SiglipImageProcessorPil(size={"height": side, "width": side}, resample=3)
    pictures.image_seq_length = image_tokens
    return PaliGemmaProcessor(image_processor=pictures, tokenizer=tokenizer)


def _small_names() -> list[normalizers.Normalizer]:
    """Make "detect Moon ; Star" the "detect moon ; star" of the grammar: people begin names with a capital."""
    before = r"(?:(?<=detect )|(?<=segment )|(?<=; ))"
    return [
        normalizers.Replace(Regex(rf"{before}{letter}(?=\p{{Ll}})"), letter.lower())
        for letter in string.ascii_uppercase
    ]


@functools.cache
def _words() -> tuple[str, ...]:
    """Every word of the grammar as a token, with the space before it where it may have one."""
    found: dict[str, None] = {}
    for text in vocabulary_corpus():
        for piece in _WORD.findall(unicodedata.normalize("NFC", text)):
            bare = piece.strip()
            # Sentences in lower case can begin with a written word: "oPEN" is no word.
            if len(bare) > 1 and bare[0].islower() and bare[1:].isupper():
                continue
            found[piece.replace(" ", "▁")] = None
            # A question opens with a capital, but follows a prefix and a space: "answer en What color ...".
            if bare.isalpha():
                found[bare] = found["▁" + bare] = None
    both: list[str] = [*WORDS]
    for kind in KINDS:
        both += [kind.en, kind.en_plural, kind.es, kind.es_plural]
    for colour in COLOURS:
        both += [colour.en, colour.es_m, colour.es_f, colour.es_m_plural, colour.es_f_plural]
    both += ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    for word in both:
        found[word] = found["▁" + word] = None
    found["▁;"] = None
    return tuple(found)
