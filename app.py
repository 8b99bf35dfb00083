"""Starts the app: settings -> models -> pipeline -> page. The only file that has side effects."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import gradio as gr
from transformers.utils import logging as transformers_logging

from inference import logs
from inference.errors import InvalidInput, UserError
from inference.hosting import ModelHost, host_models
from inference.machine import return_freed_memory
from inference.metrics import Metrics
from inference.pipeline import Pipeline
from inference.settings import Settings, parse_settings
from ui import page, service
from ui.scratch import own_folder
from ui.visitors import Visitors

logger = logging.getLogger("paligemma2")

START_AGAIN = 75
"""The exit code that asks for another try: the GPU was lost, and a new process may have it again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the page until it is told to stop.

    Args:
        arguments: The command line without the program's name; by default that of the process.

    Returns:
        The exit code: 0 when it was told to stop, 1 if it could not begin, `START_AGAIN` if a GPU was lost.
    """
    settings = for_this_place(parse_settings(sys.argv[1:] if arguments is None else arguments))
    set_up_process(settings)
    try:
        with own_folder():
            return run(settings)
    except UserError as error:
        logger.error("%s", error)
        return 1


def run(settings: Settings) -> int:
    """Serves the page until it is told to stop.

    Returns:
        The exit code, as of `main`.

    Raises:
        UserError: It cannot begin.
    """
    told_to_stop, lost = threading.Event(), threading.Event()

    def give_up() -> None:
        lost.set()
        told_to_stop.set()

    host = host_models(settings, lost=give_up)
    visitors = Visitors(at_once=settings.max_per_visitor)
    metrics = Metrics(host, refused=lambda: visitors.refused)
    app = page.build(Pipeline(host, deadline=settings.deadline, observer=metrics), host, settings, visitors=visitors)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    host.start(with_translators=True)
    try:
        with serving(metrics, settings.metrics):
            launch(app, host, settings)
            told_to_stop.wait()
            if not lost.is_set():
                stop_gently(app, host, settings.drain_seconds)
    finally:
        app.close(verbose=False)
        host.close()
    return START_AGAIN if lost.is_set() else 0


def set_up_process(settings: Settings) -> None:
    """What the process needs before all else: its log, its memory, and what the server reads from the environment."""
    logging.basicConfig(level=logging.INFO, handlers=[logs.handler(settings.log_format)], force=True)
    logging.captureWarnings(True)
    transformers_logging.disable_default_handler()  # which writes lines of its own form
    transformers_logging.enable_propagation()
    for name in ("httpx", "httpx2", "mcp"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log every request, addresses and all
    return_freed_memory()
    # The server believes a header that names the visitor from these addresses; by itself, from this machine's.
    os.environ["FORWARDED_ALLOW_IPS"] = ",".join(settings.trusted_proxy)
    # Gradio sums up its last 10,000 events after each event, for a page that is not served.
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")


def launch(app: gr.Blocks, host: ModelHost, settings: Settings) -> None:
    """Serves the page, and says where.

    Raises:
        InvalidInput: The port is in use, or the address is not this machine's.
    """
    if settings.share and not settings.auth:
        logger.warning("Everyone who knows the link can use this machine: --auth USER:PASSWORD asks for a login.")
    options = page.launch_options(settings, app, routes=service.routes(host))
    try:
        _, local, public = app.launch(prevent_thread_lock=True, quiet=True, **options)
    except OSError as error:  # in which gradio advises its own variables
        raise InvalidInput(_why_not_served(settings.host, settings.port, "--host", "--port")) from error
    server = logging.getLogger("uvicorn")  # which has been given lines of its own form
    server.handlers.clear()
    server.propagate = True
    logger.info("The page is at %s", local)
    if public:
        logger.info("and, for everyone who knows the address, at %s", public)


@contextmanager
def serving(metrics: Metrics, place: tuple[str, int] | None) -> Iterator[None]:
    """Serves the metrics as long as this lasts, if there is a place for them.

    Raises:
        InvalidInput: The port is in use, or the address is not this machine's.
    """
    if place is None:
        yield
        return
    address, port = place
    try:
        end = metrics.serve(address, port)
    except OSError as error:
        raise InvalidInput(_why_not_served(address, port, "--metrics", "--metrics")) from error
    logger.info("Metrics are at http://%s:%d/metrics", address, port)
    try:
        yield
    finally:
        end()


def _why_not_served(address: str, port: int, for_address: str, for_port: str) -> str:
    """The sentence about a place that cannot be served, with the flags for another."""
    try:
        socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET).close()
    except OSError:
        return f"This machine has no address {address} to serve; choose another by {for_address}."
    return f"Port {port} of {address} is in use, or not for everyone; choose another by {for_port}."


def stop_gently(app: gr.Blocks, host: ModelHost, seconds: float) -> None:
    """Refuses what comes, and gives what is being answered so much time to end and to be delivered."""
    logger.info("Stopping: what is being answered may take %g s more.", seconds)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who asks a second time does not want to wait
    end = time.monotonic() + seconds
    if not host.drain(seconds) or not service.wait_until_delivered(app, max(0.0, end - time.monotonic())):
        logger.warning("Stopping before everything was answered.")


def for_this_place(settings: Settings) -> Settings:
    """The settings as a Space needs them, which is public by itself.

    It serves every address and, as its tags promise, the tools for assistants, unless it is told otherwise.
    """
    if "SPACE_ID" not in os.environ:
        return settings
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    return replace(
        settings,
        host=host if settings.host == "127.0.0.1" else settings.host,
        share=False,
        mcp=settings.mcp or not os.environ.get("PALIGEMMA_MCP"),
    )


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    if code == START_AGAIN and time.monotonic() - began > 60:
        # Only a new process can use a GPU again whose context is lost. One that fails at once is left to whoever
        # started the app.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    sys.exit(code)
