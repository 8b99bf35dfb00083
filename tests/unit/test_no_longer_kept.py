"""What a visitor is told who comes back to answers that the server has forgotten, as it does after an hour."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest

from tests.support.stand_ins import stand_in_context
from ui.answers import Answers
from ui.batch import BatchTab
from ui.context import Context
from ui.thread import Thread
from ui.turns import Turns
from ui.video import Transcript, VideoTab

VISITOR: Any = gr.Request(session_hash="visitor", headers={"accept-language": "es"})


def click(data: dict[str, Any]) -> gr.EventData:
    return gr.EventData(None, data)


def subtitles(context: Context) -> object:
    with gr.Blocks() as page:
        tab = VideoTab(context)
        tab.build()
    pressed = next(block for block in page.blocks.values() if getattr(block, "elem_id", None) == "video-srt-en")
    return tab.subtitle(gr.EventData(pressed, None), VISITOR, Transcript())


@pytest.mark.parametrize(
    "come_back",
    [
        pytest.param(lambda context: BatchTab(context).pack(VISITOR, ()), id="the zip of many pictures"),
        pytest.param(lambda context: VideoTab(context).pack(VISITOR, Transcript()), id="the zip of a clip"),
        pytest.param(subtitles, id="subtitles"),
        pytest.param(
            lambda context: Answers(context, Turns()).export(
                click({}), VISITOR, thread=Thread(), threshold=0, opacity=50, parts="masks", labels="en"
            ),
            id="a file of an answer",
        ),
        pytest.param(
            lambda context: Answers(context, Turns()).restore(click({"entry": "0"}), VISITOR, thread=Thread()),
            id="an earlier answer",
        ),
    ],
)
def test_what_is_forgotten_is_said_to_be(come_back: Callable[[Context], object]) -> None:
    context = stand_in_context()
    with pytest.raises(gr.Error, match="Esta respuesta ya no se conserva"):
        come_back(context)
