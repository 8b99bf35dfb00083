"""Loading by transformers without its progress bars on the console; whoever loads is told how far it is instead.

Knows transformers' one hook for them. Knows nothing of what is loaded.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as transformers_logging

_reporter = threading.local()


@contextmanager
def quiet_loading(report: Callable[[float], None] | None = None) -> Iterator[None]:
    """Keeps the progress bars of transformers from the console and reports instead how much is loaded.

    transformers has one hook for the whole process. The one set here looks at the calling thread, so that models may be
    loaded at the same time, and the bars of others stay.

    Args:
        report: Is told how far it is, from 0 to 1.
    """
    transformers_logging.set_tqdm_hook(_tqdm_hook)
    _reporter.report = report or (lambda _: None)
    try:
        yield
    finally:
        _reporter.report = None


def _tqdm_hook(factory: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    report: Callable[[float], None] | None = getattr(_reporter, "report", None)
    if report is None:
        return factory(*arguments, **options)
    return _Steps(arguments[0] if arguments else (), report)


class _Steps:
    """Stands in for a progress bar over something that has a length; tells about every tenth."""

    def __init__(self, steps: Any, report: Callable[[float], None]) -> None:
        self._steps = steps
        self._report = report

    def __iter__(self) -> Iterator[Any]:
        total = len(self._steps) if hasattr(self._steps, "__len__") else 0
        for index, step in enumerate(self._steps):
            if total and index % max(1, total // 10) == 0:
                self._report(index / total)
            yield step

    def __enter__(self) -> "_Steps":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, _: str) -> Any:
        return lambda *_arguments, **_options: None
