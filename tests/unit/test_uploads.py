"""What a client may send in the place of uploaded files: nothing but uploaded files."""

from typing import Any

import gradio as gr
import pytest

from tests.support.running import run
from ui.uploads import Pictures, UploadedClip, UploadedPictures, clip_file

MARK = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({"path": "/etc/passwd"}, id="a file of the server, not marked"),
        pytest.param({"path": "/etc/passwd", "meta": {"_type": "other"}}, id="marked as something else"),
        pytest.param("/etc/passwd", id="a bare path"),
        pytest.param(None, id="nothing"),
        pytest.param(["x"], id="a list"),
    ],
)
def test_what_is_not_marked_as_a_file_is_refused(sent: Any) -> None:
    with pytest.raises(gr.Error, match="Upload"):
        UploadedClip.model_validate(sent)
    with pytest.raises(gr.Error, match="Upload"):
        UploadedPictures.model_validate([{"image": {"path": "/tmp/a.png"} | MARK}, {"image": sent}])


def test_a_video_among_the_pictures_is_refused() -> None:
    with pytest.raises(gr.Error, match="Upload"):
        UploadedPictures.model_validate([{"video": {"path": "/tmp/a.mp4"} | MARK}])


@pytest.mark.parametrize("make", [lambda: Pictures(), lambda: clip_file()], ids=["pictures", "clip"])
def test_addresses_are_not_fetched(make: Any) -> None:
    with pytest.raises(gr.Error, match="web address"):
        run(make().async_move_resource_to_block_cache("http://127.0.0.1:1/x.png"))


def test_what_was_uploaded_reaches_the_handler_as_its_paths() -> None:
    pictures, clip = Pictures(), clip_file()
    sent = [{"image": {"path": f"/tmp/{name}.png"} | MARK, "caption": None} for name in "ab"]
    assert pictures.preprocess(pictures.data_model.model_validate(sent)) == ["/tmp/a.png", "/tmp/b.png"]
    assert pictures.preprocess(None) == []
    assert clip.preprocess(clip.data_model.model_validate({"path": "/tmp/c.mp4"} | MARK)) == "/tmp/c.mp4"
    assert clip.preprocess(None) is None
