"""What a person reads when something goes wrong."""

from inference.errors import InvalidInput
from inference.sentences import Sentence
from ui.faults import sentence
from ui.markup import Words
from ui.texts import Texts

WORDS = Words(Texts.read(), "en")


def test_a_sentence_that_quotes_half_a_character_can_be_sent() -> None:
    error = InvalidInput(Sentence("Unknown language “{value}”.", value="\ud800"))
    told = sentence(error, WORDS, request_id="1")
    assert told.encode("utf-8").decode("utf-8").startswith("Unknown language “")


def test_a_bug_of_ours_is_an_apology_with_the_request_id() -> None:
    told = sentence(RuntimeError("secret"), WORDS, request_id="cafe")
    assert "cafe" in told
    assert "secret" not in told
