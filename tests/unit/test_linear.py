"""Products with weights of few bits against the same in float64."""

import pytest
import torch
from torch import nn

from inference import linear
from inference.linear import Int4Linear, Int8Linear, Linear, fuse, product


@pytest.fixture
def weight() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(192, 256) / 16


def inputs(rows: int) -> torch.Tensor:
    return torch.randn(rows, 256, generator=torch.Generator().manual_seed(rows))


def error(result: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> float:
    expected = x.double() @ weight.double().t()
    return float((result - expected).norm() / expected.norm())


PROCESSORS = {"without bfloat16": (False, False), "slow at bfloat16": (True, False), "fast at bfloat16": (True, True)}


@pytest.fixture(params=PROCESSORS)
def processor(request, monkeypatch) -> str:
    """Which way is taken depends on the processor; every one is right on any, at its own speed."""
    has, multiplies = PROCESSORS[request.param]
    monkeypatch.setattr(linear, "has_bfloat16", lambda: has)
    monkeypatch.setattr(linear, "multiplies_bfloat16", lambda: multiplies)
    return request.param


@pytest.mark.parametrize("rows", [1, 2, 8, 9, 100, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_right_for_any_number_of_rows(monkeypatch, processor, weight, rows: int, dtype: torch.dtype):
    monkeypatch.setattr(linear, "_CONVERTED_ROWS", 50)  # more than one part, the last one smaller
    x, stored = inputs(rows), weight.to(dtype)

    result = product(x, stored)

    assert (result.dtype, result.shape) == (torch.float32, (rows, 192))
    assert error(result, x, stored) < (1e-6 if dtype == torch.float32 else 5e-3)


@pytest.mark.parametrize("rows", [1, 2, 8, 9, 100, 200])
def test_a_layer_of_bfloat16_keeps_each_weight_once_and_multiplies_by_it(processor, weight, rows: int):
    layers = [nn.Linear(256, 92, bias=False).bfloat16(), nn.Linear(256, 100, bias=False).bfloat16()]
    whole = torch.cat([layer.weight.data for layer in layers])
    x = inputs(rows)

    fused = fuse(layers)

    assert error(fused(x), x, whole) < 5e-3
    assert fused(x).dtype == torch.float32
    assert fuse(layers) is fused
    assert fused.weight.nbytes == whole.nbytes
    if processor != "without bfloat16":
        assert not any(layer.weight.numel() for layer in layers)


@pytest.mark.parametrize("where", ["cpu", "elsewhere", "compiled elsewhere"])
@pytest.mark.parametrize(
    ("kind", "off", "bits"),
    [pytest.param(Int8Linear, 0.015, 8.2, id="int8"), pytest.param(Int4Linear, 0.11, 4.3, id="int4")],
)
@pytest.mark.parametrize("rows", [1, 2, 8, 9, 100])
def test_few_bits_cost_little(
    monkeypatch, weight, kind: type[Int8Linear] | type[Int4Linear], off: float, bits: float, rows: int, where: str
):
    monkeypatch.setattr(linear, "_CONVERTED_ROWS", 50)
    monkeypatch.setattr(linear, "_UNPACKED_ROWS", 128)
    if where != "cpu":
        monkeypatch.setattr(linear, "_on_cpu", lambda x: False)
    layer = kind(weight)
    x = inputs(rows)
    if where.startswith("compiled"):
        layer.compile(backend="eager", dynamic=True)

    assert error(layer(x), x, weight) < off
    assert sum(buffer.nbytes for buffer in layer.buffers()) == kind.bytes(*weight.shape) < weight.numel() * bits / 8


def test_a_vocabulary_of_few_bits_says_what_its_tokens_are(weight):
    layer = Int8Linear(weight)
    ids = torch.tensor([[3, 191], [0, 3]])

    embedded = layer.embed(ids, torch.float32)

    assert embedded.shape == (2, 2, 256)
    assert torch.allclose(embedded, weight[ids], atol=float(weight.abs().max()) / 254)
    assert torch.equal(Linear(weight).embed(ids, torch.bfloat16), weight[ids].bfloat16())


@pytest.mark.parametrize("kind", [Int8Linear, Int4Linear])
def test_a_row_of_zeros_stays_zeros(weight, kind: type[Int8Linear] | type[Int4Linear]):
    weight[3] = 0
    result = kind(weight)(torch.cat([inputs(1), torch.zeros(1, 256)]))

    assert result.isfinite().all()
    assert result[0, 3] == 0
    assert not result[1].any()


@pytest.mark.parametrize("shape", [(96, 256), (192, 40)], ids=["rows", "columns"])
def test_a_shape_that_int4_cannot_pack_is_refused(shape: tuple[int, int]):
    with pytest.raises(ValueError, match="multiples of 64"):
        Int4Linear(torch.randn(shape))


def test_a_bias_is_added(weight):
    bias = torch.randn(192)
    x = inputs(2)

    assert torch.allclose(Int8Linear(weight, bias)(x), Int8Linear(weight)(x) + bias)
    assert torch.allclose(Linear(weight, bias)(x), x @ weight.t() + bias, atol=1e-5)


def test_layers_side_by_side_give_what_each_gave_and_share_memory():
    layers = [nn.Linear(8, 4), nn.Linear(8, 6)]
    x = torch.randn(3, 8)
    with torch.no_grad():
        expected = torch.cat([layer(x) for layer in layers], dim=1)
        fused = fuse(layers)

        assert torch.allclose(fused(x), expected)
        layers[1].weight.zero_()
        assert not fused.weight[4:].any()
    assert fuse(layers).weight.data_ptr() == fused.weight.data_ptr()
