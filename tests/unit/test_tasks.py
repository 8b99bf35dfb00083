"""The prompts that tasks make, and what is refused before a model sees it."""

import pytest
from PIL import Image

from inference import tasks
from inference.errors import InvalidInput
from inference.types import Request


def request(task: str, text: str = "", **fields) -> Request:
    return Request(image=Image.new("RGB", (8, 8)), task=task, text=text, **fields)


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        pytest.param(request("describe"), "cap en", id="short description"),
        pytest.param(request("describe", length="medium"), "caption en", id="medium description"),
        pytest.param(request("describe", length="long", language="es"), "describe es", id="long, in Spanish"),
        pytest.param(request("read_text"), "ocr", id="reading text"),
        pytest.param(request("answer", "How many?"), "answer en How many?", id="question"),
        pytest.param(request("ask", "two", language="fr"), "question fr two", id="answer"),
        pytest.param(request("detect", "cat"), "detect cat", id="one object"),
        pytest.param(request("detect", "cat; dog"), "detect cat ; dog", id="two objects"),
        pytest.param(request("segment", "cat, the dog's bowl"), "segment cat ; the dog's bowl", id="comma"),
        pytest.param(request("prompt", "Read text"), "Read text", id="open prompt"),
    ],
)
def test_each_task_makes_the_prompt_of_the_models_grammar(asked, prompt):
    assert tasks.check(asked).prompt(asked) == prompt


def test_every_task_is_registered_under_its_own_name():
    assert [task.name for task in tasks.TASKS.values()] == list(tasks.TASKS)
    assert list(tasks.TASKS) == ["describe", "read_text", "answer", "ask", "detect", "segment", "prompt"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("cat", ["cat"], id="one"),
        pytest.param(" cat ;dog ; ", ["cat", "dog"], id="empty names and spaces"),
        pytest.param("cat\ndog", ["cat", "dog"], id="lines"),
        pytest.param("cat ; cat", ["cat"], id="repeated"),
        pytest.param("cat；dog，cow、calf", ["cat", "dog", "cow", "calf"], id="as a Chinese keyboard types them"),
        pytest.param("red  car.", ["red car"], id="spaces and full stop"),
        pytest.param(" ; , \n", [], id="nothing"),
        pytest.param("", [], id="empty"),
    ],
)
def test_objects_are_split(text, names):
    assert tasks.split_objects(text) == names


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        pytest.param("What is this?", "What is this?", id="plain"),
        pytest.param("a < b and <b>", "a < b and <b>", id="brackets that are no tokens"),
        pytest.param("<image> what?", "‹image> what?", id="image token"),
        pytest.param("<bos><eos><pad><unk>", "‹bos>‹eos>‹pad>‹unk>", id="control tokens"),
        pytest.param("<loc0001><seg001>", "‹loc0001>‹seg001>", id="location tokens"),
        pytest.param("<IMAGE>< image >", "‹IMAGE>‹ image >", id="spelled otherwise"),
        pytest.param("<ima\u200bge>", "‹image>", id="hidden by a zero-width space"),
        pytest.param("<im\x00age>", "<im age>", id="broken by a control character"),
        pytest.param("a\r\n\tb\x00c", "a b c", id="control characters"),
        pytest.param("\u202eevil\u2069", "evil", id="direction characters"),
        pytest.param("kit\u00adten", "kitten", id="soft hyphen inside a word"),
        pytest.param("nin\u0303o", "niño", id="composed accents"),
        pytest.param("nin\u200b\u0303o", "niño", id="accents behind what vanishes"),
        pytest.param(
            "<unused3>[@BOS@]<2mass><start_of_image>", "‹unused3>(@BOS@]‹2mass>‹start_of_image>", id="Gemma's"
        ),
        pytest.param("\ud800x", "x", id="lone surrogate"),
        pytest.param("\u200b \u2060", "", id="nothing visible"),
        pytest.param("", "", id="empty"),
    ],
)
def test_typed_text_is_cleaned(typed, clean):
    assert tasks.clean_text(typed) == clean


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        pytest.param("what is at <loc0000><loc1023>?", "what is at <loc0000><loc1023>?", id="in range"),
        pytest.param("<seg127>", "<seg127>", id="mask code"),
        pytest.param("<loc1024><seg128>", "‹loc1024>‹seg128>", id="out of range"),
        pytest.param("<loc5>", "‹loc5>", id="too few digits"),
        pytest.param("<image><loc0001>", "‹image><loc0001>", id="image token beside one"),
    ],
)
def test_raw_prompts_keep_location_tokens_and_no_others(typed, clean):
    assert tasks.clean_text(typed, keep_location_tokens=True) == clean


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        pytest.param(request("answer", "<image>?"), "answer en ‹image>?", id="question"),
        pytest.param(request("ask", "<eos>"), "question en ‹eos>", id="answer"),
        pytest.param(request("detect", "<loc0001>\n<bos>"), "detect ‹loc0001> ; ‹bos>", id="objects"),
        pytest.param(request("prompt", "<image><loc0001>"), "‹image><loc0001>", id="raw prompt"),
    ],
)
def test_a_prompt_holds_no_special_token_whoever_wrote_its_text(asked, prompt):
    # A translator may write one; its output goes straight into the prompt.
    assert tasks.TASKS[asked.task].prompt(asked) == prompt


@pytest.mark.parametrize("text", ["<image>", "<<image>>", "< image>", "<im\u200bage>", "<loc0001>", "a<eos>b"])
def test_cleaning_twice_changes_nothing(text):
    once = tasks.clean_text(text)
    assert tasks.clean_text(once) == once


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        pytest.param(request("dance"), "The tasks are: describe", id="unknown task"),
        pytest.param(request("describe", length="endless"), "short, medium, long", id="unknown length"),
        pytest.param(request("answer", "x", language="tlh"), "en, ar", id="unknown language"),
        pytest.param(request("answer", "x", input_language="de"), "English (en) or Spanish (es)", id="typed in German"),
        pytest.param(request("answer", ""), "question about the picture", id="no question"),
        pytest.param(request("ask", " \u200b "), "Type the answer", id="an invisible answer"),
        pytest.param(request("detect", " ; , "), "at least one thing", id="no object between separators"),
        pytest.param(request("segment", ""), "at least one thing", id="no object"),
        pytest.param(request("prompt", "\n"), "Type a prompt", id="no prompt"),
        pytest.param(request("answer", "x" * 1001), "1,001 characters long; at most 1,000", id="too long"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(asked, part):
    with pytest.raises(InvalidInput) as refusal:
        tasks.check(asked)
    assert part in str(refusal.value)


def test_the_longest_text_and_choices_that_do_not_matter_are_allowed():
    assert tasks.check(request("answer", "x" * 1000)).name == "answer"
    assert tasks.check(request("read_text", language="tlh", length="endless")).name == "read_text"


@pytest.mark.parametrize(
    ("command", "task", "prompt"),
    [
        pytest.param("detect cat ; dog", "detect", "detect cat ; dog", id="detect"),
        pytest.param("detect cat;dog, cat", "detect", "detect cat ; dog", id="detect, loosely typed"),
        pytest.param("Segment red car", "segment", "segment red car", id="a capital letter"),
        pytest.param("cap en", "describe", "cap en", id="short description"),
        pytest.param("caption es", "describe", "caption es", id="description"),
        pytest.param("describe en", "describe", "describe en", id="long description"),
        pytest.param("ocr", "read_text", "ocr", id="ocr"),
        pytest.param("answer en what is it?", "answer", "answer en what is it?", id="answer"),
        pytest.param("question es dos", "ask", "question es dos", id="question"),
        pytest.param("What is it?", "prompt", "What is it?", id="open-ended"),
        pytest.param("caption en of the cat", "prompt", "caption en of the cat", id="more than a description's prompt"),
        pytest.param("caption xx", "prompt", "caption xx", id="a language that is none"),
        pytest.param("answer me", "prompt", "answer me", id="a word that is no language"),
        pytest.param("detector", "prompt", "detector", id="a longer word"),
        pytest.param("ocr this", "prompt", "ocr this", id="ocr with more"),
        pytest.param("detect <loc0001><loc0002>", "prompt", "detect <loc0001><loc0002>", id="a region"),
    ],
)
def test_a_command_is_the_task_whose_prompt_it_is(command: str, task: str, prompt: str) -> None:
    read = tasks.read_command(command)

    assert (read.task, tasks.TASKS[read.task].prompt(read)) == (task, prompt)
