"""What Prometheus may know: requests, errors, queues, batches, tokens, times and memory.

Knows counts and names of tasks and models. Knows no pictures, no texts and no visitors.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import HTTPServer

import torch
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference.hosting import ModelHost
from inference.tasks import TASKS
from inference.types import Result

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counts what the pipeline tells, and looks at the models when it is asked.

    Args:
        host: Where the models are.
        refused: Says how many requests were refused before they came to the pipeline.
    """

    def __init__(self, host: ModelHost, *, refused: Callable[[], int] = lambda: 0) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "paligemma_requests", "Requests that were answered", ["task", "cached"], registry=self.registry
        )
        self._errors = Counter(
            "paligemma_errors", "Requests that ended without an answer", ["task", "kind"], registry=self.registry
        )
        self._tokens = Counter("paligemma_tokens", "Tokens that were written", ["task"], registry=self.registry)
        self._seconds = Histogram(
            "paligemma_stage_seconds", "What the stages of an answered request took", ["task", "stage"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        ProcessCollector(registry=self.registry)  # memory, processor time, open files
        self.registry.register(_Present(host, refused))

    def answered(self, result: Result) -> None:
        """A request was answered."""
        timing = result.timing
        self._requests.labels(result.task, str(timing.cached).lower()).inc()
        if not timing.cached:
            self._tokens.labels(result.task).inc(timing.tokens)
        for stage in ("queue", "vision", "prefill", "decode", "total"):
            self._seconds.labels(result.task, stage).observe(getattr(timing, stage))

    def failed(self, task: str, error: BaseException) -> None:
        """A request ended without an answer."""
        kind = "Left" if isinstance(error, GeneratorExit) else type(error).__name__
        # The task is what a client sent: names of its own would each make a series.
        self._errors.labels(task if task in TASKS else "unknown", kind).inc()

    def serve(self, address: str, port: int) -> Callable[[], None]:
        """Serves them at `/metrics`.

        Returns:
            What ends that.

        Raises:
            OSError: The port is in use.
        """
        server, thread = start_http_server(port, addr=address, registry=self.registry)
        return lambda: _end(server, thread)


class _Present(Collector):
    """How it is when somebody looks."""

    def __init__(self, host: ModelHost, refused: Callable[[], int]) -> None:
        self._host = host
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        """Everything that is looked up and not counted."""
        engines = self._host.engines
        yield _gauge("waiting", "Requests that wait", ((name, engine.waiting) for name, engine in engines.items()))
        yield _gauge(
            "running",
            "Requests that are answered together",
            ((name, engine.running) for name, engine in engines.items()),
        )
        restarts = CounterMetricFamily(
            "paligemma_worker_restarts", "How often the worker of a model was replaced", labels=["model"]
        )
        for name, engine in engines.items():
            restarts.add_metric([name], engine.restarts)
        yield restarts
        ready = ((status.name, float(status.state == "ready")) for status in self._host.statuses())
        yield _gauge("ready", "Whether a model answers", ready)
        yield CounterMetricFamily(
            "paligemma_refused", "Requests beyond a visitor's limit", value=float(self._refused())
        )
        if torch.cuda.is_available():
            devices = range(torch.cuda.device_count())
            yield _gauge(
                "gpu_memory_bytes", "Memory that torch holds on a GPU",
                ((str(index), float(torch.cuda.memory_reserved(index))) for index in devices), label="device",
            )  # fmt: skip


def _gauge(name: str, what: str, values: Iterable[tuple[str, float]], *, label: str = "model") -> Metric:
    family = GaugeMetricFamily(f"paligemma_{name}", what, labels=[label])
    for key, value in values:
        family.add_metric([re.sub(r"[\x00-\x1f]", "", key)], value)
    return family


def _end(server: HTTPServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
