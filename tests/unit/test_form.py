"""What the form asks, whatever state the page is in when Run is pressed."""

from PIL import Image

from ui.inputs import request_about

FIELDS = (
    "question", "answer", "objects", "prompt", "typed_in_spanish", "length", "translate", "model", "language",
    "max_tokens",
)  # fmt: skip


def test_fields_that_only_just_come_on_the_page_have_their_first_values() -> None:
    image = Image.new("RGB", (8, 8))
    request = request_about(image, task="answer", request_id="1", **dict.fromkeys(FIELDS))
    assert (request.text, request.length, request.language, request.input_language) == ("", "short", "en", "en")
    assert (request.translate, request.model, request.max_new_tokens) == (False, None, None)
