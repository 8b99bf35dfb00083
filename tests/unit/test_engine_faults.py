"""What becomes of requests when the model, its memory, its thread or its device fails."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from inference.batch import Batch, Chosen
from inference.checkpoints import pick_device
from inference.engine import DEATHS, Engine, Generation, Started, Token
from inference.errors import Busy, Cancelled, DeadlineExceeded, ModelUnavailable
from inference.finished import FinishedAnswers
from inference.generation import Row
from inference.loading import load
from tests.support.tiny import tiny_model, tiny_processor
from tests.unit.test_engine import generate, picture, tokens

Fault = Callable[[Batch[Row]], None]


@pytest.fixture(scope="module")
def processor() -> PaliGemmaProcessor:
    return tiny_processor()


@pytest.fixture(scope="module")
def model(processor: PaliGemmaProcessor) -> PaliGemmaForConditionalGeneration:
    return tiny_model(processor)


class Frail(Batch[Row]):
    """A batch whose next steps and prefills may fail: faults are taken from the front of a list as they happen."""

    def __init__(self, *arguments: object, faults: dict[str, list[Fault]], sizes: list[int], **options: object) -> None:
        super().__init__(*arguments, **options)
        self._faults = faults
        self._sizes = sizes

    def add(self, row: Row) -> Chosen:
        if self._faults["add"]:
            self._faults["add"].pop(0)(self)
        return super().add(row)

    def step(self) -> list[Chosen]:
        if self._faults["step"]:
            self._faults["step"].pop(0)(self)
        self._sizes.append(len(self.rows))
        return super().step()


class Lab:
    """An engine on the tiny model whose faults a test puts in."""

    def __init__(self, model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor, **options: object):
        self.faults: dict[str, list[Fault]] = {"add": [], "step": []}
        self.sizes: list[int] = []
        make = functools.partial(Frail, model, processor, slots=3, faults=self.faults, sizes=self.sizes)
        self.engine = Engine(model, processor, queue_size=6, make_batch=make, **options)

    def submit(self, seed: int, limit: int = 12, prompt: str = "cap en", **options: object) -> Generation:
        return self.engine.submit(picture(seed), prompt, max_new_tokens=limit, **options)


@pytest.fixture
def lab(model, processor) -> Iterator[Callable[..., Lab]]:
    made: list[Lab] = []

    def make(**options: object) -> Lab:
        made.append(Lab(model, processor, **options))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()


def raising(error: BaseException) -> Fault:
    def fault(_: Batch[Row]) -> None:
        raise error

    return fault


def out_of_memory() -> Fault:
    return raising(torch.OutOfMemoryError("CUDA out of memory"))


def no_room_for_a_library() -> Fault:
    return raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


def no_room_for_a_kernel() -> Fault:
    return raising(RuntimeError("Triton Error [CUDA]: out of memory"))


def passing(_: Batch[Row]) -> None:
    """No fault: a step that goes well."""


@contextmanager
def reading(*generations: Generation) -> Iterator[list[list[int] | BaseException]]:
    """Reads answers in threads; when the block ends, the list holds what became of each."""
    outcomes: list[list[int] | BaseException] = [[] for _ in generations]

    def read(index: int, generation: Generation) -> None:
        try:
            outcomes[index] = [token.id for token in tokens(generation)]
        except BaseException as error:
            outcomes[index] = error

    threads = [threading.Thread(target=read, args=pair) for pair in enumerate(generations)]
    for thread in threads:
        thread.start()
    yield outcomes
    for thread in threads:
        thread.join(timeout=60)


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("add", out_of_memory),
        ("step", out_of_memory),
        ("step", no_room_for_a_library),
        ("step", no_room_for_a_kernel),
    ],
)
def test_a_lack_of_memory_is_overcome_alone_and_nobody_loses_a_token(lab, model, processor, where, fault) -> None:
    expected = [generate(model, processor, picture(seed), "cap en", 12) for seed in range(3)]
    bench = lab()
    bench.faults[where] = [passing, passing, fault()]

    with reading(*(bench.submit(seed) for seed in range(3))) as outcomes:
        pass

    assert outcomes == expected
    assert bench.engine.restarts == 0


def test_what_lacks_memory_alone_too_ends_as_busy_and_the_next_is_answered(lab, model, processor) -> None:
    bench = lab()
    bench.faults["add"] = [out_of_memory(), out_of_memory()]
    with pytest.raises(Busy, match="ran out of memory"):
        tokens(bench.submit(0))

    assert [token.id for token in tokens(bench.submit(1))] == generate(model, processor, picture(1), "cap en", 12)


def test_a_request_that_is_tried_again_has_the_model_for_itself(lab) -> None:
    bench = lab()
    bench.faults["step"] = [passing, passing, out_of_memory()]
    running = [bench.submit(seed, 8, ignore_eos=True) for seed in range(3)]
    with reading(*running) as outcomes:
        pass

    assert [len(outcome) for outcome in outcomes] == [8, 8, 8]
    assert bench.sizes[-7:] == [1] * 7


@pytest.mark.parametrize("where", ["add", "step"])
@pytest.mark.parametrize("error", [SystemExit(), GeneratorExit()], ids=lambda error: type(error).__name__)
def test_a_dead_worker_fails_what_runs_with_a_sentence_and_another_goes_on(lab, model, processor, where, error) -> None:
    bench = lab()
    bench.faults[where] = [raising(error)]
    with pytest.raises(ModelUnavailable, match="being started again"):
        tokens(bench.submit(0))
    written = [token.id for token in tokens(bench.submit(1))]

    assert written == generate(model, processor, picture(1), "cap en", 12)
    assert bench.engine.ready
    assert bench.engine.restarts == 1


def test_the_embedded_checkpoint_answers_again_soon_after_its_worker_died(record_property) -> None:
    loaded = load("demo", device=pick_device("cpu"), progress=lambda *_: None)
    faults: dict[str, list[Fault]] = {"add": [], "step": [raising(SystemExit())]}
    warmed_up = []

    def make() -> Frail:
        batch = Frail(loaded.model, loaded.processor, slots=3, faults=faults, sizes=[])
        batch.warm_up(lambda *_: None)
        warmed_up.append(batch)
        return batch

    engine = Engine(loaded.model, loaded.processor, make_batch=make)
    try:
        with pytest.raises(ModelUnavailable, match="being started again"):
            tokens(engine.submit(picture(0), "cap en"))
        died = time.perf_counter()
        assert tokens(engine.submit(picture(1), "cap en", max_new_tokens=4))
        record_property("answered_after_ms", round(1000 * (time.perf_counter() - died)))
    finally:
        engine.close()
    assert len(warmed_up) == 2


def test_those_in_line_do_not_notice_that_a_worker_died(lab, model, processor) -> None:
    bench = lab()
    go = threading.Event()

    def die_when_told(_: Batch[Row]) -> None:
        go.wait(30)
        raise SystemExit

    bench.faults["add"] = [die_when_told]
    first = bench.submit(0)
    next(event for event in first if isinstance(event, Started))
    waiting = [bench.submit(seed) for seed in (1, 2)]
    with reading(first, *waiting) as outcomes:
        go.set()

    assert isinstance(outcomes[0], ModelUnavailable)
    assert outcomes[1:] == [generate(model, processor, picture(seed), "cap en", 12) for seed in (1, 2)]


def test_an_answer_whose_numbers_overflow_ends_with_a_sentence_and_its_neighbours_go_on(lab, model, processor) -> None:
    bench = lab()

    def overflow(batch) -> None:
        choose = batch._choose

        def chosen(hidden):
            batch._choose = choose
            numbers = choose(hidden)
            numbers[1, 0] = float("nan")
            return numbers

        batch._choose = chosen

    bench.faults["add"] = [overflow]
    with pytest.raises(ModelUnavailable, match="beyond its precision"):
        tokens(bench.submit(0))
    assert [token.id for token in tokens(bench.submit(1))] == generate(model, processor, picture(1), "cap en", 12)


def test_a_step_that_hangs_is_given_up_and_another_worker_goes_on(lab, model, processor) -> None:
    let_go = threading.Event()
    bench = lab(hang_seconds=0.2)
    bench.faults["step"] = [lambda _: let_go.wait(60)]
    try:
        with pytest.raises(ModelUnavailable, match="being started again"):
            tokens(bench.submit(0))
        written = [token.id for token in tokens(bench.submit(1))]
        assert written == generate(model, processor, picture(1), "cap en", 12)
        assert bench.engine.restarts == 1
    finally:
        let_go.set()


def test_a_worker_that_dies_again_and_again_is_reported_once_and_the_engine_says_so(lab) -> None:
    reports: list[bool] = []
    reported = threading.Event()
    bench = lab(broken=lambda lost: (reports.append(lost), reported.set()))
    bench.faults["add"] = [raising(SystemExit()) for _ in range(DEATHS)]
    for seed in range(DEATHS):
        with pytest.raises(ModelUnavailable):
            tokens(bench.submit(seed))

    assert reported.wait(30)
    assert reports == [False]
    assert not bench.engine.ready
    with pytest.raises(ModelUnavailable, match="being started again"):
        bench.submit(9)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(torch.AcceleratorError("an illegal memory access was encountered", 700), id="as torch says it"),
        pytest.param(RuntimeError("CUDA error: device-side assert triggered"), id="as libraries say it"),
        pytest.param(RuntimeError("CUDA driver error: unspecified launch failure"), id="as compiled kernels say it"),
        pytest.param(
            RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), id="as Triton does"
        ),
    ],
)
def test_a_lost_device_is_reported_and_no_worker_tries_it_again(lab, error) -> None:
    reports: list[bool] = []
    reported = threading.Event()
    bench = lab(broken=lambda lost: (reports.append(lost), reported.set()))
    bench.faults["step"] = [raising(error)]
    with pytest.raises(ModelUnavailable):
        tokens(bench.submit(0))

    assert reported.wait(30)
    assert reports == [True]
    assert not bench.engine.ready


def test_nobody_waits_past_the_deadline_for_a_model_that_hangs(lab, monkeypatch) -> None:
    monkeypatch.setattr("inference.generation._GRACE", 0.1)
    let_go = threading.Event()
    bench = lab()
    bench.faults["add"] = [lambda _: let_go.wait(60)]
    try:
        with pytest.raises(DeadlineExceeded):
            tokens(bench.submit(0, deadline=0.2))
    finally:
        let_go.set()


def test_one_who_left_frees_the_slot_within_a_step(lab) -> None:
    bench = lab()
    gone = threading.Event()
    leaving = bench.submit(0, 500, ignore_eos=True, left=gone.is_set)
    events = iter(leaving)
    next(event for event in events if isinstance(event, Token))
    staying = bench.submit(1, 500, ignore_eos=True)
    next(event for event in staying if isinstance(event, Token))

    gone.set()
    with pytest.raises(Cancelled):
        list(events)
    steps = len(bench.sizes)
    staying.cancel()

    assert bench.sizes[steps - 1 :].count(2) <= 1
    with pytest.raises(Cancelled):
        list(staying)


def test_one_who_left_while_waiting_leaves_the_line(lab) -> None:
    bench = lab()
    running = [bench.submit(seed, 500, ignore_eos=True) for seed in range(3)]
    for generation in running:  # all slots are taken once each has written something
        next(event for event in generation if isinstance(event, Token))
    gone = threading.Event()
    waiting = bench.submit(5, left=gone.is_set)
    gone.set()
    with pytest.raises(Cancelled):
        tokens(waiting)
    assert bench.engine.waiting == 0
    for generation in running:
        generation.cancel()


def test_draining_lets_what_runs_end_and_refuses_the_rest(lab) -> None:
    bench = lab()
    running = [bench.submit(seed, 60, ignore_eos=True) for seed in range(3)]
    for generation in running:
        next(event for event in generation if isinstance(event, Token))
    waiting = bench.submit(4)
    with reading(*running, waiting) as outcomes:
        assert bench.engine.drain(60)
        with pytest.raises(ModelUnavailable, match="shut down"):
            bench.submit(5)

    assert [len(outcome) for outcome in outcomes[:3]] == [59, 59, 59]
    assert isinstance(outcomes[3], ModelUnavailable)


def test_the_same_question_again_is_answered_at_once_and_says_so(lab) -> None:
    bench = lab()
    first = tokens(bench.submit(0))
    steps = len(bench.sizes)
    again = bench.submit(0)

    assert tokens(again) == first
    assert again.timing.cached
    assert again.timing.tokens == len(first)
    assert len(bench.sizes) == steps


@pytest.mark.parametrize(
    ("seed", "limit", "options"),
    [
        pytest.param(1, 12, {}, id="another picture"),
        pytest.param(0, 11, {}, id="another limit"),
        pytest.param(0, 12, {"prompt": "ocr"}, id="another prompt"),
        pytest.param(0, 12, {"ignore_eos": True}, id="measuring"),
    ],
)
def test_another_question_is_not_answered_from_memory(lab, seed, limit, options) -> None:
    bench = lab()
    tokens(bench.submit(0))
    other = bench.submit(seed, limit, **options)
    tokens(other)
    assert not other.timing.cached


def test_an_answer_that_was_stopped_or_failed_is_not_kept(lab) -> None:
    bench = lab()
    stopped = bench.submit(0, 400)
    next(event for event in stopped if isinstance(event, Token))
    stopped.cancel()
    with pytest.raises(Cancelled):
        list(stopped)
    bench.faults["step"] = [raising(ValueError())]
    with pytest.raises(ModelUnavailable):
        tokens(bench.submit(1, 400))

    for seed in (0, 1):
        again = bench.submit(seed, 400)
        tokens(again)
        assert not again.timing.cached


def test_answers_are_kept_up_to_a_size_and_the_least_used_go_first() -> None:
    kept = FinishedAnswers(max_bytes=1200)
    for name in (b"a", b"b", b"c"):
        kept.put(name, (Chosen(1, 1.0, 1.0),))
    assert kept.get(b"a") is not None
    kept.put(b"d", (Chosen(1, 1.0, 1.0),))

    assert [name for name in (b"a", b"b", b"c", b"d") if kept.get(name) is None] == [b"b"]
    kept.put(b"huge", (Chosen(1, 1.0, 1.0),) * 100)
    assert kept.get(b"huge") is None
