"""What Prometheus is told, and what it is never told."""

import httpx
import pytest
from prometheus_client import generate_latest

from inference.errors import Busy
from inference.hosting import ModelHost, ModelStatus
from inference.metrics import Metrics
from inference.types import Result, Timing
from tests.support.serving import free_port


class NoModels(ModelHost):
    """A host whose models have not been loaded."""

    def __init__(self) -> None:
        super().__init__([], load=None, translators=lambda _: None)  # type: ignore[arg-type,return-value]

    def statuses(self) -> tuple[ModelStatus, ...]:
        return (ModelStatus("3b", "loading"),)


def result(**timing: object) -> Result:
    return Result("detect", "3b", "detect SECRET", "SECRET", "SECRET", 8, 8, timing=Timing(**timing))  # type: ignore


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(NoModels(), refused=lambda: 3)


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_requests_tokens_times_and_errors_are_counted_by_task_and_kind(metrics: Metrics) -> None:
    metrics.answered(result(total=0.2, tokens=7))
    metrics.answered(result(total=0.0, tokens=7, cached=True))
    metrics.failed("detect", Busy("too much"))
    metrics.failed("detect", GeneratorExit())
    seen = text(metrics)

    for line in (
        'paligemma_requests_total{cached="false",task="detect"} 1.0',
        'paligemma_requests_total{cached="true",task="detect"} 1.0',
        'paligemma_tokens_total{task="detect"} 7.0',
        'paligemma_errors_total{kind="Busy",task="detect"} 1.0',
        'paligemma_errors_total{kind="Left",task="detect"} 1.0',
        'paligemma_stage_seconds_count{stage="total",task="detect"} 2.0',
        'paligemma_ready{model="3b"} 0.0',
        "paligemma_refused_total 3.0",
        "process_resident_memory_bytes",
    ):
        assert line in seen, line
    assert "SECRET" not in seen


def test_a_task_that_a_client_made_up_makes_no_series(metrics: Metrics) -> None:
    for number in range(50):
        metrics.failed(f"made up {number}", Busy("too much"))
    assert 'paligemma_errors_total{kind="Busy",task="unknown"} 50.0' in text(metrics)
    assert "made up" not in text(metrics)


def test_they_are_served_on_a_port_of_their_own_until_it_ends(metrics: Metrics) -> None:
    port = free_port()
    end = metrics.serve("127.0.0.1", port)
    assert "paligemma_refused_total" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
    end()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")
