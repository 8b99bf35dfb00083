"""How long each task takes through the whole pipeline, translation included, on drawn scenes.

    python -m benchmarks.tasks [--model NAME] [--scenes N]

Prints a table for people and, last, one JSON object: seconds to load, and for each task the median and the range.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator

from inference.errors import UserError
from inference.hosting import host_models
from inference.pipeline import Pipeline
from inference.settings import Settings
from inference.types import Request
from training.scenes import draw, held_out_seed
from training.world import Scene


def main() -> int:
    """Measures, prints, and gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="a name, hub id or folder (default: demo)")
    parser.add_argument("--scenes", type=int, default=15, help="pictures for each task (default: 15)")
    options = parser.parse_args()

    begin = time.perf_counter()
    host = host_models(Settings(models=(options.model,)))
    host.start()
    host.wait()
    pipeline = Pipeline(host)
    first = draw(held_out_seed(0, 0)).image
    try:
        # The first translated answer is what makes the translators load, and Spanish input the other one.
        pipeline.run(Request(first, "answer", "¿Qué hay aquí?", translate=True, input_language="es", max_new_tokens=8))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    loaded = time.perf_counter() - begin
    print(f"{options.model}: model, mask decoder and translators loaded and warm after {loaded:.1f} s\n")
    print(f"{'task':12}{'median s':>10}{'least':>8}{'most':>8}{'tokens':>8}")
    figures = {}
    for task in ("describe", "read_text", "answer", "ask", "detect", "segment", "prompt"):
        seconds, tokens = [], []
        for request in requests(task, options.scenes):
            result = pipeline.run(request)
            seconds.append(result.timing.total)
            tokens.append(result.timing.tokens)
        median = statistics.median(seconds)
        figures[task] = {"median": round(median, 3), "least": round(min(seconds), 3), "most": round(max(seconds), 3)}
        print(f"{task:12}{median:10.2f}{min(seconds):8.2f}{max(seconds):8.2f}{statistics.median(tokens):8.0f}")
    host.close()
    print(json.dumps({"model": options.model, "scenes": options.scenes, "load_seconds": round(loaded, 2)} | figures))
    return 0


def requests(task: str, scenes: int) -> Iterator[Request]:
    """The same task on one scene after another, each asked about what is in it."""
    for index in range(scenes):
        scene = draw(held_out_seed(1, index))
        yield Request(scene.image, task, text(task, scene), length="long", translate=True)


def text(task: str, scene: Scene) -> str:
    """What the task needs besides the picture."""
    kind = scene.things[0].kind.en
    return {
        "answer": f"How many {scene.things[0].kind.en_plural} are there?",
        "ask": "yes",
        "detect": kind,
        "segment": kind,
        "prompt": "What is in the picture?",
    }.get(task, "")


if __name__ == "__main__":
    sys.exit(main())
