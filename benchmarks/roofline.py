"""How little a model can take: the operations of reading a picture and a prompt, and the bytes read for each token.

Knows the shapes of PaliGemma 2. Knows no clocks and runs nothing.
"""

from typing import Any

from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration


def reading_operations(config: PaliGemmaConfig, *, tokens: int) -> float:
    """Floating point operations of the vision tower and of one pass of the text model over all tokens of a request.

    Counts the matrix products (two operations for each weight and position) and the products of attention. Of the
    vocabulary only the last position is needed.

    Args:
        config: The checkpoint's.
        tokens: Of the picture and the prompt.
    """
    vision, text = config.vision_config, config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2
    tower = vision.num_hidden_layers * (
        2 * patches * (4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size)
        + 4 * patches**2 * vision.hidden_size
    )
    tower += 2 * patches * 3 * vision.patch_size**2 * vision.hidden_size
    projector = 2 * patches * vision.hidden_size * text.hidden_size
    heads = text.num_attention_heads * text.head_dim
    layers = text.num_hidden_layers * (
        2 * tokens * _layer_weights(text) + 4 * tokens**2 * heads
    )  # keys and values are shared by heads, products with them are not
    return float(tower + projector + layers + 2 * text.vocab_size * text.hidden_size)


def _layer_weights(text: Any) -> int:
    heads, shared = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    return int(text.hidden_size * (2 * heads + 2 * shared) + 3 * text.hidden_size * text.intermediate_size)


def token_bytes(model: PaliGemmaForConditionalGeneration, *, positions: int, cached_bytes: int) -> int:
    """Bytes that are read for one more token: every weight of the text model, its vocabulary, the keys and values.

    Args:
        model: With its weights as they are kept, quantized or not.
        positions: That the token sees.
        cached_bytes: Of one number among keys and values.
    """
    text = model.config.text_config
    kept = [
        tensor
        for module in (model.model.language_model.layers, model.lm_head)
        for tensor in (*module.parameters(), *module.buffers())
    ]
    # Fused layers keep their weights beside the views of them that the single ones become: every address counts once.
    # What oneDNN has packed has no address and no views.
    count: int = sum(tensor.nbytes for tensor in kept if tensor.is_mkldnn)
    spans = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in kept if not tensor.is_mkldnn)
    end = 0
    for start, stop in spans:
        count += max(0, stop - max(start, end))
        end = max(end, stop)
    keys: int = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * positions * cached_bytes
    return count + keys
