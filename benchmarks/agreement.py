"""Whether the engine writes the very tokens that transformers' own `generate` writes, in float32.

    python -m benchmarks.agreement --model FOLDER [--prompts N] [--tokens N]

Works on any checkpoint, also on one with random weights: there too every token depends on all that the model computes.
Prints a line a prompt and, last, one JSON object; exits with 1 if a token differs.
"""

import argparse
import sys
import time

from transformers import GenerationConfig

from benchmarks.measuring import last_line, picture
from inference.checkpoints import pick_device
from inference.engine import Engine, Token
from inference.errors import UserError
from inference.loading import load

PROMPTS = (
    "describe en",
    "ocr",
    "answer en what is this?",
    "detect cat ; dog",
    "segment cat",
    "What is in the picture?",
)


def main() -> int:
    """Compares, prints, and gives the exit code."""
    parser = argparse.ArgumentParser(description="Compare the engine's tokens with those of transformers' generate.")
    parser.add_argument("--model", required=True, help="a checkpoint's folder, a hub id or demo")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--prompts", type=int, default=len(PROMPTS), help=f"how many of the {len(PROMPTS)} prompts to run"
    )
    parser.add_argument("--tokens", type=int, default=24, help="how many tokens a prompt (default: 24)")
    options = parser.parse_args()
    try:
        loaded = load(options.model, device=pick_device(options.device), dtype="float32", progress=lambda *_: None)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    cases = [(prompt, picture(seed)) for seed, prompt in enumerate(PROMPTS[: options.prompts])]

    # An end of sequence that no token is, so that random weights are compared over all of the tokens; for None the
    # model's own would be taken.
    never = loaded.model.config.text_config.vocab_size
    greedy = GenerationConfig(max_new_tokens=options.tokens, do_sample=False, eos_token_id=never, pad_token_id=0)

    expected = []
    for prompt, image in cases:
        begin = time.perf_counter()
        inputs = loaded.processor(images=image, text=f"<image>{prompt}", return_tensors="pt").to(loaded.device)
        inputs.pop("labels", None)
        length = inputs["input_ids"].shape[1]
        output = loaded.model.generate(**inputs, generation_config=greedy)
        expected.append(output[0, length:].tolist())
        print(f"generate  {time.perf_counter() - begin:7.1f} s  {prompt}", flush=True)

    engine = Engine(loaded.model, loaded.processor)
    begin = time.perf_counter()
    running = [
        engine.submit(image, prompt, max_new_tokens=options.tokens, deadline=3600.0, ignore_eos=True)
        for prompt, image in cases
    ]
    written = [[event.id for event in generation if isinstance(event, Token)] for generation in running]
    print(f"engine    {time.perf_counter() - begin:7.1f} s  all {len(cases)} together", flush=True)
    engine.close()

    same = [a == b for a, b in zip(expected, written, strict=True)]
    for (prompt, _), agrees, tokens in zip(cases, same, expected, strict=True):
        print(f"{'same' if agrees else 'DIFFERENT':10}{len(set(tokens)):4} different tokens of {len(tokens)}  {prompt}")
    last_line(
        {
            "model": loaded.name,
            "parameters": loaded.parameters,
            "prompts": len(cases),
            "tokens": options.tokens,
            "agreeing": sum(same),
        }
    )
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
