"""What a person reads when something goes wrong: the sentence of a `UserError`, or an apology with a request id.

Knows the two kinds of failure and the log. Knows no components.
"""

import html
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from inference.errors import InvalidInput, UserError
from inference.sentences import Sentence
from ui.markup import Words

logger = logging.getLogger(__name__)


def new_request_id() -> str:
    """A short name for a request, in the log and in messages."""
    return secrets.token_hex(4)


def sentence(error: Exception, words: Words, *, request_id: str = "") -> str:
    """What the person who asked may read about an error. Logs it if it is a bug of ours.

    Args:
        error: What was raised.
        words: The page's texts.
        request_id: The request's name in the log; one is made for what has none.
    """
    request_id = request_id or new_request_id()
    if isinstance(error, UserError):
        logger.info("%s ended with %s", request_id, type(error).__name__)
        # It may quote what was sent, and halves of surrogate pairs cannot be sent back.
        return words.tell(error.sentence).encode("utf-8", "replace").decode("utf-8")
    logger.error("%s failed", request_id, exc_info=error)
    return words.now("error.ours", id=request_id)


@contextmanager
def plain_errors(words: Words, *, request_id: str) -> Iterator[None]:
    """Turns whatever is raised inside into a `gr.Error` that carries one plain sentence, as an API client gets it."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        message = sentence(error, words, request_id=request_id)
        raise gr.Error(message, print_exception=False) from None


@contextmanager
def told(words: Words) -> Iterator[None]:
    """Turns whatever is raised inside into a message on the page."""
    try:
        yield
    except Exception as error:
        raise toast(sentence(error, words)) from None


def no_longer_kept() -> InvalidInput:
    """The error of who wants something of an answer that the server has forgotten, as it does after an hour."""
    return InvalidInput(Sentence("This answer is not kept any more. Ask again."))


def toast(message: str) -> gr.Error:
    """The error that shows a message on the page, where gradio would render it as HTML."""
    return gr.Error(html.escape(message), print_exception=False)
