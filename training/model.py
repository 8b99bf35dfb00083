"""The small PaliGemma 2: its shape, a fresh start for it, and its forward pass as training runs it.

Knows transformers' modules and how to run them fast on many short rows. Knows nothing of pictures' contents, prompts or
schedules.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import Gemma2Config, PaliGemmaConfig, PaliGemmaForConditionalGeneration, SiglipVisionConfig

WIDTH = 192
SIDE = 224
PATCH = 28
GRID = SIDE // PATCH
IMAGE_TOKENS = GRID * GRID


def configuration(
    *, vocabulary: int, image_token: int, pad_token: int, bos_token: int, eos_token: int
) -> PaliGemmaConfig:
    """PaliGemma 2's configuration in small: same classes, same soft caps."""
    text = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=48,
        query_pre_attn_scalar=48,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        sliding_window=4096,
        max_position_embeddings=8192,
        pad_token_id=pad_token,
        bos_token_id=bos_token,
        eos_token_id=eos_token,
    )
    vision = SiglipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=768,
        num_hidden_layers=5,
        num_attention_heads=6,
        image_size=SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    return PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        image_token_index=image_token,
        vocab_size=vocabulary,
        pad_token_id=pad_token,
        bos_token_id=bos_token,
        eos_token_id=eos_token,
    )


def fresh(config: PaliGemmaConfig, seed: int) -> PaliGemmaForConditionalGeneration:
    """An untrained float32 model with a start that spares it the first epochs."""
    torch.manual_seed(seed)
    model = PaliGemmaForConditionalGeneration(config).float()
    with torch.no_grad():
        tower = model.model.vision_tower
        for block in tower.encoder.layers:
            _start_block(block.self_attn.out_proj, block.mlp.fc2, len(tower.encoder.layers))
        for projection in (q for b in tower.encoder.layers for q in (b.self_attn.q_proj, b.self_attn.k_proj)):
            nn.init.orthogonal_(projection.weight)
        embedding = tower.embeddings
        embedding.patch_embedding.weight.copy_(_cosine_filters(WIDTH, PATCH))
        embedding.patch_embedding.bias.zero_()
        embedding.position_embedding.weight.copy_(_sine_positions(GRID, WIDTH))
        nn.init.orthogonal_(model.model.multi_modal_projector.linear.weight)
        model.model.multi_modal_projector.linear.bias.zero_()
        language = model.model.language_model
        language.embed_tokens.weight.normal_(0, WIDTH**-0.5)
        # The table is tied: at full strength an untrained model is sure that every token repeats itself.
        language.norm.weight.fill_(-0.6)
        for layer in language.layers:
            for linear in (m for m in layer.modules() if isinstance(m, nn.Linear)):
                linear.weight.normal_(0, linear.in_features**-0.5)
            # The norm after each half of a layer sets how much it adds to the residual: little at first.
            layer.post_attention_layernorm.weight.fill_(-0.6)
            layer.post_feedforward_layernorm.weight.fill_(-0.6)
    return model


def _start_block(attention_out: nn.Linear, mlp_out: nn.Linear, depth: int) -> None:
    for linear in (attention_out, mlp_out):
        linear.weight.normal_(0, linear.in_features**-0.5 / math.sqrt(2 * depth))


def _cosine_filters(count: int, side: int) -> torch.Tensor:
    """(count, 3, side, side): the lowest cosine waves, many in brightness, some in two opponent colours.

    They keep nearly all there is in a smooth patch, which random filters of the same number do not.
    """
    axis = (torch.arange(side) + 0.5) * math.pi / side
    waves = torch.stack([torch.cos(axis * k) * math.sqrt((1 if k == 0 else 2) / side) for k in range(side)])
    order = sorted((u * u + v * v, u, v) for u in range(side) for v in range(side))
    directions = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    directions = directions / directions.norm(dim=1, keepdim=True)
    shares = (count - 2 * (count // 5), count // 5, count // 5)
    filters = []
    for direction, share in zip(directions, shares, strict=True):
        for square, u, v in order[:share]:
            # Waves weaken with their frequency; raising the fine ones gives every channel a like size.
            strength = 0.12 * (1 + math.sqrt(square))
            filters.append(strength * direction[:, None, None] * torch.outer(waves[u], waves[v]))
    return torch.stack(filters)


def _sine_positions(grid: int, width: int) -> torch.Tensor:
    """(grid * grid, width): sines and cosines of the row and of the column."""
    frequencies = torch.exp(torch.linspace(math.log(0.5), math.log(grid * 0.9), width // 4)) * math.pi / grid
    angles = (torch.arange(grid) + 0.5)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = line[:, None].expand(grid, grid, -1), line[None].expand(grid, grid, -1)
    return 0.7 * torch.cat([rows, columns], dim=-1).reshape(grid * grid, width)


def place_features(bins: int, count: int) -> torch.Tensor:
    """(bins, 2 * count + 1): waves over the places 0 to 1 from half a turn to `bins / 8` turns, and a constant.

    Embeddings of places that are built from these share what they learn: near bins are near, far bins are not.
    """
    place = torch.arange(bins) / (bins - 1)
    turns = torch.exp(torch.linspace(math.log(0.5), math.log(bins / 8), count))
    angles = 2 * math.pi * place[:, None] * turns
    # Low waves carry the coarse place, which must be learnt first: they start stronger.
    weight = (1 / (1 + turns / 12)) ** 0.5
    constant = torch.ones(bins, 1)
    return torch.cat([angles.sin() * weight, angles.cos() * weight, constant], dim=1) / math.sqrt(count) * 1.4


def patches(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (n, side, side, 3) to (n, patches, 3 * PATCH * PATCH) in -1 to 1, in the order of the filter's weights."""
    n = len(pixels)
    cut = pixels.view(n, GRID, PATCH, GRID, PATCH, 3).permute(0, 1, 3, 5, 2, 4)
    return cut.reshape(n, IMAGE_TOKENS, 3 * PATCH * PATCH)


def see(model: PaliGemmaForConditionalGeneration, cut: torch.Tensor) -> torch.Tensor:
    """The tower and the projector: normalised patches (n, patches, values) to image tokens (n, patches, WIDTH)."""
    tower = model.model.vision_tower
    embedding = tower.embeddings
    x = functional.linear(cut, embedding.patch_embedding.weight.flatten(1), embedding.patch_embedding.bias)
    x = x + embedding.position_embedding.weight
    n, length, width = x.shape
    for block in tower.encoder.layers:
        attention = block.self_attn
        heads = attention.num_heads
        y = block.layer_norm1(x)
        q, k, v = (
            part.view(n, length, heads, width // heads).transpose(1, 2)
            for part in _together(y, attention.q_proj, attention.k_proj, attention.v_proj)
        )
        # Written out: the fused attention's backward pass is five times slower on CPUs for rows as short as these.
        y = functional.softmax(q @ k.mT * attention.scale, dim=-1) @ v
        x = x + attention.out_proj(y.transpose(1, 2).reshape(n, length, width))
        y = block.mlp.fc1(block.layer_norm2(x))
        x = x + block.mlp.fc2(functional.gelu(y, approximate="tanh"))
    return model.model.multi_modal_projector.linear(tower.post_layernorm(x))


def _together(x: torch.Tensor, *parts: nn.Linear) -> tuple[torch.Tensor, ...]:
    """Several linear maps of the same input as one product: narrow products leave a processor half idle."""
    weight = torch.cat([part.weight for part in parts])
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
    return functional.linear(x, weight, bias).split([part.out_features for part in parts], dim=-1)


class _Rms(torch.autograd.Function):
    """Gemma's norm with its gradient written out: left to autograd it costs more than the layer's products."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.rsqrt(length.square() / x.shape[-1] + eps).to(x.dtype)
        normal, gain = x * scale, 1.0 + weight
        ctx.save_for_backward(normal, scale, gain)
        return normal * gain

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        normal, scale, gain = ctx.saved_tensors
        (gradient,) = gradients
        product = gradient * normal
        rows = product.flatten(0, -2)
        for_weight = rows.T @ rows.new_ones(len(rows))
        along = (product @ gain[:, None]) / normal.shape[-1]
        return torch.addcmul(gradient * gain, normal, along, value=-1) * scale, for_weight, None


def _rms(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return _Rms.apply(x, norm.weight, norm.eps)


def _turn(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cosine + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sine


def read(
    model: PaliGemmaForConditionalGeneration,
    embedded: torch.Tensor,
    prefix: torch.Tensor,
    asked: int,
) -> torch.Tensor:
    """The language model over rows that begin with the image and are padded on the right.

    Equal to transformers' own forward (a test holds it to that), but the last layer computes queries and its MLP only
    where an answer may stand, which saves a sixth of the work.

    Args:
        model: Whose language model reads.
        embedded: (n, length, WIDTH) input embeddings, already scaled as Gemma scales them.
        prefix: (n,) how many leading tokens of each row are image and prompt: they see each other both ways.
        asked: Only the hidden states of the last `asked` positions are wanted.

    Returns:
        (n, asked, WIDTH) normalised hidden states.
    """
    language = model.model.language_model
    config = language.config
    n, length, _ = embedded.shape
    place = torch.arange(length, device=embedded.device)
    # Padding stands at the end, so that the causal rule alone keeps it out of sight.
    seen = (place[None, :] <= place[:, None])[None] | (place[None, None, :] < prefix[:, None, None])
    bias = torch.zeros((), dtype=embedded.dtype, device=embedded.device).masked_fill(~seen, -1e9)[:, None]
    heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    # Computed anew: a bfloat16 copy of the module rounds its own table of frequencies.
    exponents = torch.arange(0, size, 2, device=embedded.device).float() / size
    turns = (place + 1).float()[:, None] * config.rope_parameters["rope_theta"] ** -exponents
    angles = torch.cat([turns, turns], dim=-1)
    cosine, sine = angles.cos().to(embedded.dtype), angles.sin().to(embedded.dtype)
    x = embedded
    for number, layer in enumerate(language.layers):
        attention = layer.self_attn
        y = _rms(layer.input_layernorm, x)
        if number < len(language.layers) - 1:
            q, k, v = _together(y, attention.q_proj, attention.k_proj, attention.v_proj)
        else:
            start = length - asked
            k, v = _together(y, attention.k_proj, attention.v_proj)
            x, q = x[:, start:], attention.q_proj(y[:, start:])
            bias = bias[:, :, start:]
        rows = q.shape[1]
        k = _turn(k.view(n, length, groups, size).transpose(1, 2), cosine, sine)
        v = v.view(n, length, groups, size).transpose(1, 2)
        q = _turn(q.view(n, rows, heads, size).transpose(1, 2), cosine[-rows:], sine[-rows:])
        # Query heads that share a key head go through one product: no key or value is copied.
        q = q.reshape(n, groups, heads // groups * rows, size)
        cap = config.attn_logit_softcapping
        logits = torch.tanh((q * (attention.scaling / cap)) @ k.mT).view(n, heads, rows, length)
        weights = functional.softmax(torch.add(bias, logits, alpha=cap), dim=-1)
        y = (weights.view(n, groups, heads // groups * rows, length) @ v).view(n, heads, rows, size)
        y = attention.o_proj(y.transpose(1, 2).reshape(n, rows, heads * size))
        x = x + _rms(layer.post_attention_layernorm, y)
        y = _rms(layer.pre_feedforward_layernorm, x)
        gate, up = _together(y, layer.mlp.gate_proj, layer.mlp.up_proj)
        y = functional.gelu(gate, approximate="tanh") * up
        x = x + _rms(layer.post_feedforward_layernorm, layer.mlp.down_proj(y))
    return _rms(language.norm, x)


def layer_matrices(model: PaliGemmaForConditionalGeneration) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weight matrices of the tower's layers and of the language model's layers."""
    vision = [p for p in model.model.vision_tower.encoder.parameters() if p.ndim == 2]
    text = [p for p in model.model.language_model.layers.parameters() if p.ndim == 2]
    return vision, text
