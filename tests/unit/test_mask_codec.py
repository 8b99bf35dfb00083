from pathlib import Path

import numpy as np
import pytest
import torch

from training import mask_codec, pool, scenes
from training.saving import TrainingError

PUBLISHED = Path(__file__).parents[2] / "assets" / "paligemma2-demo" / "vae-oid.npz"
DECODER = {
    "_vq_vae._embedding": (128, 512),
    "decoder.0.weight": (128, 512, 1, 1),
    "decoder.2.net.0.weight": (128, 128, 3, 3),
    "decoder.2.net.2.weight": (128, 128, 3, 3),
    "decoder.2.net.4.weight": (128, 128, 1, 1),
    "decoder.3.net.0.weight": (128, 128, 3, 3),
    "decoder.3.net.2.weight": (128, 128, 3, 3),
    "decoder.3.net.4.weight": (128, 128, 1, 1),
    "decoder.4.weight": (128, 128, 4, 4),
    "decoder.6.weight": (128, 64, 4, 4),
    "decoder.8.weight": (64, 32, 4, 4),
    "decoder.10.weight": (32, 16, 4, 4),
    "decoder.12.weight": (1, 16, 1, 1),
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "vae-oid.npz"
    mask_codec.write(mask_codec.MaskCodec(), path)
    return path


def test_the_file_has_the_names_and_shapes_of_the_published_decoder(written: Path) -> None:
    with np.load(written) as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files}
    decoding = {name: shape for name, shape in shapes.items() if not name.startswith("encoder.")}
    biases = {name.replace("weight", "bias") for name in DECODER if name.endswith("weight")}
    assert {name: shape for name, shape in decoding.items() if name not in biases} == DECODER
    assert decoding.keys() == DECODER.keys() | biases
    assert any(name.startswith("encoder.") for name in shapes)


def test_the_file_is_small_enough_to_be_carried(written: Path) -> None:
    assert written.stat().st_size < 4.5e6


def test_a_codec_read_back_gives_the_same_codes_and_masks(written: Path) -> None:
    codec = mask_codec.read(written)
    masks = mask_codec.from_bool(np.random.default_rng(0).random((3, 64, 64)) > 0.5)
    codes = codec.encode(masks)
    assert codes.shape == (3, 16)
    assert codes.min() >= 0
    assert codes.max() < 128
    decoded = codec.decode(codes)
    assert decoded.shape == (3, 1, 64, 64)
    assert torch.equal(mask_codec.read(written).decode(codes), decoded)


@pytest.mark.parametrize("damage", ["cut short", "another archive", "no archive"])
def test_a_damaged_file_is_refused_in_plain_words(written: Path, damage: str) -> None:
    if damage == "cut short":
        written.write_bytes(written.read_bytes()[:5000])
    elif damage == "another archive":
        np.savez(written, something=np.zeros(3))
    else:
        written.write_text("hello")
    with pytest.raises(TrainingError, match="train one with"):
        mask_codec.read(written)


def test_a_silhouette_is_stretched_from_its_box_to_the_whole_square() -> None:
    scene = scenes.draw(4)
    thing = scene.things[0]
    cut = pool.cut_to_box(thing.mask, thing.box)
    assert cut.shape == (64, 64)
    assert cut[0].any()
    assert cut[-1].any()
    assert cut[:, 0].any()
    assert cut[:, -1].any()


def test_the_published_codec_keeps_silhouettes() -> None:
    codec = mask_codec.read(PUBLISHED)
    things = [thing for index in range(20) for thing in scenes.draw(scenes.held_out_seed(5, index)).things]
    masks = np.stack([pool.cut_to_box(thing.mask, thing.box) for thing in things])
    decoded = codec.decode(codec.encode(mask_codec.from_bool(masks)))
    assert mask_codec.overlap(decoded, masks).mean() > 0.9


def test_what_codes_share_of_each_others_targets_leaves_the_mask_nearly_as_it_is() -> None:
    codec = mask_codec.read(PUBLISHED)
    shares = mask_codec.alike(codec)
    assert torch.allclose(shares.sum(dim=1), torch.ones(128), atol=1e-5)
    assert torch.equal(shares.argmax(dim=1), torch.arange(128))

    scene = scenes.draw(scenes.held_out_seed(1, 0))
    masks = np.stack([pool.cut_to_box(thing.mask, thing.box) for thing in scene.things])
    codes = codec.encode(mask_codec.from_bool(masks))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(shares[codes.flatten()], 1, generator=generator).view_as(codes)
    others = torch.randint(128, codes.shape, generator=generator)
    kept, by_chance = (mask_codec.overlap(codec.decode(changed), masks).mean() for changed in (drawn, others))
    assert kept > 0.9 > by_chance
