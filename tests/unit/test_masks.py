"""Mask codes become masks in boxes: against an independent decoder, and by geometry."""

import io
import zipfile

import numpy as np
import pytest

from inference.errors import ModelUnavailable
from inference.masks import MaskDecoder, add_masks, pixel_box, place
from inference.types import Detection


def arrays(dtype=np.float32) -> dict[str, np.ndarray]:
    """Random arrays with the names and shapes of `vae-oid.npz`, scaled so that signals neither die nor explode."""
    generator = np.random.default_rng(7)
    shapes = {"_vq_vae._embedding": (128, 512), "decoder.0": (128, 512, 1, 1), "decoder.12": (1, 16, 1, 1)}
    for block in (2, 3):
        shapes |= {f"decoder.{block}.net.{place}": (128, 128, side, side) for place, side in ((0, 3), (2, 3), (4, 1))}
    for layer, (inputs, outputs) in {4: (128, 128), 6: (128, 64), 8: (64, 32), 10: (32, 16)}.items():
        shapes[f"decoder.{layer}"] = (inputs, outputs, 4, 4)
    made: dict[str, np.ndarray] = {"encoder.0.weight": np.zeros(3, dtype=dtype)}
    for name, shape in shapes.items():
        if name == "_vq_vae._embedding":
            made[name] = generator.normal(size=shape).astype(dtype)
            continue
        transposed = name in ("decoder.4", "decoder.6", "decoder.8", "decoder.10")
        fan_in = shape[0] * 4 if transposed else int(np.prod(shape[1:]))
        made[f"{name}.weight"] = (generator.normal(size=shape) * np.sqrt(2 / fan_in)).astype(dtype)
        made[f"{name}.bias"] = (generator.normal(size=shape[1] if transposed else shape[0]) * 0.1).astype(dtype)
    return made


def convolve(inputs: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(channels, side, side) by a centred kernel."""
    reach = weight.shape[2] // 2
    side = inputs.shape[1]
    padded = np.pad(inputs, ((0, 0), (reach, reach), (reach, reach)))
    outputs = np.tile(bias[:, None, None], (1, side, side))
    for y in range(weight.shape[2]):
        for x in range(weight.shape[3]):
            outputs = outputs + np.einsum("oi,iyx->oyx", weight[:, :, y, x], padded[:, y : y + side, x : x + side])
    return outputs


def enlarge(inputs: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Transposed convolution, kernel 4, stride 2, padding 1: each input pixel stamps its kernel on the output."""
    side = inputs.shape[1]
    stamped = np.zeros((weight.shape[1], 2 * side + 2, 2 * side + 2))
    for y in range(side):
        for x in range(side):
            stamped[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += np.einsum("i,ioyx->oyx", inputs[:, y, x], weight)
    return stamped[:, 1:-1, 1:-1] + bias[:, None, None]


def reference(codes: np.ndarray, made: dict[str, np.ndarray]) -> np.ndarray:
    """One mask by the published table of layers, in NumPy and float64."""
    made = {name: array.astype(np.float64) for name, array in made.items()}

    def layer(name: str) -> tuple[np.ndarray, np.ndarray]:
        return made[f"{name}.weight"], made[f"{name}.bias"]

    grid = np.zeros((512, 4, 4))
    for index, code in enumerate(codes):
        grid[:, index // 4, index % 4] = made["_vq_vae._embedding"][code]
    values = np.maximum(convolve(grid, *layer("decoder.0")), 0)
    for block in ("decoder.2.net", "decoder.3.net"):
        inner = np.maximum(convolve(values, *layer(f"{block}.0")), 0)
        inner = np.maximum(convolve(inner, *layer(f"{block}.2")), 0)
        values = values + convolve(inner, *layer(f"{block}.4"))
    for name in ("decoder.4", "decoder.6", "decoder.8", "decoder.10"):
        values = np.maximum(enlarge(values, *layer(name)), 0)
    return convolve(values, *layer("decoder.12"))[0]


@pytest.fixture(scope="module")
def decoder() -> MaskDecoder:
    return MaskDecoder(arrays())


CODES = np.random.default_rng(1).integers(0, 128, (3, 16))


def test_the_decoder_computes_what_the_published_layers_say(decoder):
    decoded = decoder.decode(CODES)
    assert (decoded.shape, decoded.dtype) == ((3, 64, 64), np.float32)
    for codes, mask in zip(CODES[:2], decoded[:2], strict=True):
        expected = reference(codes, arrays())
        assert expected.std() > 0.05, "the comparison needs a signal"
        np.testing.assert_allclose(mask, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_file_of_either_float_type_is_loaded(dtype, tmp_path, decoder):
    path = tmp_path / "codec.npz"
    np.savez(path, **arrays(dtype))
    decoded = MaskDecoder.from_file(path).decode(CODES)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, decoder.decode(CODES), atol=0.05 * np.abs(decoded).max())


def test_a_mask_does_not_depend_on_its_neighbours(decoder):
    together = decoder.decode(CODES)
    for index in range(3):
        np.testing.assert_allclose(decoder.decode(CODES[index : index + 1])[0], together[index], atol=1e-4)


def test_no_codes_give_no_masks(decoder):
    assert decoder.decode(np.zeros((0, 16), dtype=np.int64)).shape == (0, 64, 64)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integer_type_will_do(decoder, dtype):
    np.testing.assert_array_equal(decoder.decode(CODES.astype(dtype)), decoder.decode(CODES))


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param(np.zeros(16, dtype=int), id="one row without its axis"),
        pytest.param(np.zeros((1, 15), dtype=int), id="15 codes"),
        pytest.param(np.zeros((0, 4), dtype=int), id="no rows of 4"),
        pytest.param(np.full((1, 16), 128), id="128"),
        pytest.param(np.full((1, 16), -1), id="below zero"),
        pytest.param(np.zeros((1, 16)), id="floats"),
    ],
)
def test_what_are_no_codes_is_a_mistake_of_the_caller(decoder, codes):
    with pytest.raises(ValueError, match="codes"):
        decoder.decode(codes)


def changed(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    made = arrays(np.float16) | changes
    return {name: array for name, array in made.items() if array is not None}


def saved(made: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **made)
    return file.getvalue()


def no_array() -> bytes:
    file = io.BytesIO(saved(changed(**{"decoder.0.bias": None})))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("decoder.0.bias.npy", b"no array")
    return file.getvalue()


def single_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        pytest.param(b"", "not an .npz file", id="empty"),
        pytest.param(b"<html>404</html>", "not an .npz file", id="a web page"),
        pytest.param(single_array(), "not an .npz file", id="one array"),
        pytest.param(saved(arrays(np.float16))[:100_000], "not an .npz file", id="cut off"),
        pytest.param(saved(changed(**{"decoder.6.bias": None})), "decoder.6.bias is missing", id="array missing"),
        pytest.param(saved({"a": np.zeros(3)}), "more is missing", id="other arrays"),
        pytest.param(no_array(), "decoder.0.bias has the shape ()", id="a member that is no array"),
        pytest.param(
            saved(changed(**{"decoder.12.weight": np.zeros((1, 16, 3, 3))})),
            "decoder.12.weight has the shape",
            id="shape",
        ),
        pytest.param(
            saved(changed(**{"decoder.0.bias": np.full(128, np.nan)})), "decoder.0.bias holds something else", id="NaN"
        ),
        pytest.param(
            saved(changed(**{"decoder.0.bias": np.zeros(128, dtype=int)})), "decoder.0.bias holds", id="integers"
        ),
        pytest.param(
            saved(changed(**{"decoder.0.bias": np.array([object()] * 128)})),
            "Object arrays cannot be loaded",
            id="pickled objects",
        ),
    ],
)
def test_a_file_that_is_no_decoder_is_refused_by_what_is_wrong(content, part, tmp_path):
    path = tmp_path / "codec.npz"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailable) as error:
        MaskDecoder.from_file(path)
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_damage_inside_the_file_is_refused(tmp_path):
    content = bytearray(saved(arrays(np.float16)))
    content[500_000] ^= 255
    path = tmp_path / "codec.npz"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailable):
        MaskDecoder.from_file(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelUnavailable, match=r"not there: .*nothing\.npz"):
        MaskDecoder.from_file(tmp_path / "nothing.npz")


FULL = np.ones((64, 64), dtype=np.float32)
LEFT_HALF = np.where(np.arange(64) < 32, 1.0, -1.0).astype(np.float32)[None].repeat(64, axis=0)


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        pytest.param((2, 3, 7, 9), (2, 3, 7, 9), id="whole pixels"),
        pytest.param((2.4, 3.6, 7.4, 8.6), (2, 4, 7, 9), id="rounded to the nearest border"),
        pytest.param((2.1, 3.1, 2.2, 3.2), (2, 3, 3, 4), id="inside one pixel"),
        pytest.param((2.6, 3.6, 2.8, 3.8), (2, 3, 3, 4), id="inside the end of one pixel"),
        pytest.param((9.7, 9.7, 10, 10), (9, 9, 10, 10), id="in the last corner"),
        pytest.param((0, 0, 10, 10), (0, 0, 10, 10), id="the whole picture"),
        pytest.param((-5, -5, 3, 3), (0, 0, 3, 3), id="over the upper left corner"),
        pytest.param((7, 8, 1e9, 1e9), (7, 8, 10, 10), id="endless"),
        pytest.param((20, 20, 30, 30), (0, 0, 0, 0), id="outside"),
    ],
)
def test_a_full_mask_fills_its_box_and_nothing_else(box, pixels):
    expected = np.zeros((10, 10), dtype=bool)
    expected[pixels[1] : pixels[3], pixels[0] : pixels[2]] = True
    placed = place(FULL, box, 10, 10)
    assert (placed.dtype, placed.shape) == (np.bool_, (10, 10))
    np.testing.assert_array_equal(placed, expected)


def test_width_and_height_are_not_mixed_up():
    assert place(FULL, (0, 0, 30, 10), 40, 20).shape == (20, 40)
    assert place(FULL, (0, 0, 30, 10), 40, 20)[:10, :30].all()


@pytest.mark.parametrize("side", [8, 64, 100, 640])
def test_the_left_half_of_a_mask_is_the_left_half_of_its_box(side):
    placed = place(LEFT_HALF, (10, 5, 10 + side, 5 + side), 700, 700)
    assert placed[5 : 5 + side, 10 : 10 + side // 2].all()
    assert placed.sum() == side * side // 2


def test_a_mask_keeps_its_shape_when_it_is_enlarged_and_clipped():
    y, x = np.mgrid[:64, :64] + 0.5
    disc = ((24 - np.hypot(x - 32, y - 32)) / 24).astype(np.float32)
    placed = place(
        disc, (-400, 100, 400, 900), 500, 1000
    )  # a disc of radius 300 around (0, 500), its left half outside
    y, x = np.mgrid[:1000, :500] + 0.5
    expected = np.hypot(x, y - 500) < 300
    assert (placed != expected).mean() < 0.003


def test_a_box_of_64_pixels_takes_the_mask_as_it_is():
    mask = np.random.default_rng(2).normal(size=(64, 64)).astype(np.float32)
    np.testing.assert_array_equal(place(mask, (3, 2, 67, 66), 80, 70)[2:66, 3:67], mask > 0)


def test_zero_is_not_part_of_the_object():
    assert not place(np.zeros((64, 64), dtype=np.float32), (0, 0, 9, 9), 9, 9).any()


def test_wrong_shapes_are_mistakes_of_the_caller():
    with pytest.raises(ValueError, match="64"):
        place(np.ones((32, 32), dtype=np.float32), (0, 0, 1, 1), 5, 5)
    with pytest.raises(ValueError, match="pixel"):
        place(FULL, (0, 0, 1, 1), 0, 5)


def test_every_segmented_thing_gets_its_own_mask(decoder):
    codes = [tuple(map(int, row)) for row in CODES]
    cat = Detection("cat", (0, 0, 20, 20), codes=codes[0])
    dog = Detection("dog", (30, 10, 60, 50))
    owl = Detection("owl", (30, 10, 60, 50), codes=codes[1])
    masked = add_masks((cat, dog, owl), decoder, 64, 50)
    assert [detection.label for detection in masked] == ["cat", "dog", "owl"]
    assert masked[1].mask is None
    for detection, row in ((masked[0], 0), (masked[2], 1)):
        expected = place(decoder.decode(CODES[row : row + 1])[0], detection.box, 64, 50)
        np.testing.assert_array_equal(detection.mask, expected)
        assert expected.any()


def test_without_codes_nothing_happens(decoder):
    dog = Detection("dog", (30, 10, 60, 50))
    assert add_masks((), decoder, 64, 50) == ()
    assert add_masks((dog,), decoder, 64, 50) == (dog,)


def test_a_pixel_box_has_at_least_one_pixel():
    for start in np.linspace(0, 3, 31):
        left, top, right, bottom = pixel_box((start, start, start + 0.01, start))
        assert (right - left, bottom - top) == (1, 1)
