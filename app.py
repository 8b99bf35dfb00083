"""Starts the app: settings -> models -> pipeline -> page. The only file that has side effects."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

from inference.errors import UserError
from inference.hosting import host_models
from inference.pipeline import Pipeline
from inference.settings import Settings, parse_settings
from ui import page

logger = logging.getLogger("paligemma2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the page until it is told to stop.

    Args:
        arguments: The command line without the program's name; by default that of the process.

    Returns:
        The exit code.
    """
    settings = for_this_place(parse_settings(sys.argv[1:] if arguments is None else arguments))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(levelname)-7s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request, addresses and all
    try:
        host = host_models(settings)
    except UserError as error:
        logger.error("%s", error)
        return 1
    app = page.build(Pipeline(host), host, settings)
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    host.start()
    try:
        _, local, public = app.launch(prevent_thread_lock=True, quiet=True, **page.launch_options(settings))
        logger.info("The page is at %s", local)
        if public:
            logger.info("and, for everyone who knows the address, at %s", public)
        told_to_stop.wait()
        logger.info("Stopping.")
    except OSError:
        logger.error("%s cannot serve port %d; choose another by --port.", settings.host, settings.port)
        return 1
    finally:
        app.close(verbose=False)
        host.close()
    return 0


def for_this_place(settings: Settings) -> Settings:
    """The settings as a Space needs them: it serves every address, unless told otherwise, and is public by itself."""
    if "SPACE_ID" not in os.environ:
        return settings
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    return replace(settings, host=host if settings.host == "127.0.0.1" else settings.host, share=False)


if __name__ == "__main__":
    sys.exit(main())
