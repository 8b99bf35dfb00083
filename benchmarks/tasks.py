"""How long each task takes through the whole pipeline, translation included, on drawn scenes.

    python -m benchmarks.tasks [--model NAME] [--scenes N]

Every task has scenes of its own, so that none finds its picture's features kept by another. Prints a table, then one
JSON line: seconds to load, and for each task the median and the range.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

import torch

from benchmarks.measuring import last_line, machine, spread, table
from inference.errors import UserError
from inference.hosting import host_models
from inference.pipeline import Pipeline
from inference.settings import Settings
from inference.tasks import TASKS
from inference.types import Request
from training.scenes import draw, held_out_seed
from training.world import Scene


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and gives the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.tasks", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="a name, hub id or folder (default: demo)")
    parser.add_argument("--scenes", type=int, default=15, help="pictures for each task (default: 15)")
    options = parser.parse_args(arguments)
    if options.scenes < 1:
        parser.error("--scenes is at least 1")

    begin = time.perf_counter()
    host = host_models(Settings(models=(options.model,)))
    host.start()
    host.wait()
    pipeline = Pipeline(host)
    first = draw(held_out_seed(0, 0)).image
    try:
        # The first translated answer is what makes the translators load, and Spanish input the other one.
        pipeline.run(Request(first, "answer", "¿Qué hay aquí?", translate=True, input_language="es", max_new_tokens=8))
        loaded = time.perf_counter() - begin
        device = torch.device(host.statuses()[0].device)
        figures = {task: measure(pipeline, task, options.scenes) for task in TASKS}
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        host.close()
    print(f"{options.model}: model, mask decoder and translators loaded and warm after {loaded:.1f} s\n")
    table(
        ("task", "median s", "least", "most", "tokens"),
        [(task, each["median"], each["least"], each["most"], each["tokens"]) for task, each in figures.items()],
    )
    last_line(
        {"benchmark": "tasks", "machine": machine(device), "model": options.model, "scenes": options.scenes,
         "load_seconds": round(loaded, 2)} | figures
    )  # fmt: skip
    return 0


def measure(pipeline: Pipeline, task: str, scenes: int) -> dict[str, float]:
    """The seconds of a task on so many scenes, and the median of its tokens."""
    timings = [pipeline.run(request).timing for request in requests(task, scenes)]
    return spread((timing.total for timing in timings), digits=3) | {
        "tokens": statistics.median(timing.tokens for timing in timings)
    }


def requests(task: str, scenes: int) -> Iterator[Request]:
    """The same task on one scene after another, which no other task has, each asked about what is in it."""
    for index in range(scenes):
        scene = draw(held_out_seed(1 + list(TASKS).index(task), index))
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
