"""Sentences that a person may read: each has a translation, and none is made in a way that forgets its template."""

import ast
import pickle
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference import errors
from inference.errors import Busy, UserError
from inference.sentences import Sentence
from ui.texts import Texts

ROOT = Path(__file__).parent.parent.parent
TEXTS = Texts.read()
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, UserError)}

NEVER_ON_THE_PAGE = {
    "cli.py": "the command line speaks English",
}
"""Modules whose own sentences are not translated, and why."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("inference", "ui"):
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.name not in NEVER_ON_THE_PAGE:
                yield f"{folder}/{path.name}", ast.parse(path.read_text("utf-8"))


def templates() -> dict[str, str]:
    """Every template of a `Sentence`, with where it stands."""
    found = {}
    for name, tree in sources():
        calls = [
            node for node in ast.walk(tree) if _calls(node, {"Sentence"} | ({"cls"} if "sentences" in name else set()))
        ]
        found |= {template: name for call in calls for template in _constants(call.args[:1])}
        if any(not isinstance(argument, ast.Constant) for call in calls for argument in call.args[:1]):
            # Made by a function of the module: whatever looks like a sentence there may be given to it.
            found |= {text: name for text in _constants(ast.walk(tree)) if text not in found and _reads_like_one(text)}
        _forget_docstrings(tree, found)
    return found


def _calls(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _constants(nodes: object) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # type: ignore[attr-defined]


def _reads_like_one(text: str) -> bool:
    return " " in text and text[0] in "“{1" + string.ascii_uppercase and text.endswith(".") and "\n" not in text


def _forget_docstrings(tree: ast.Module, found: dict[str, str]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.pop(str(node.value.value), None)


def _fields(template: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


@pytest.mark.parametrize("language", sorted(set(TEXTS.by_language) - {"en"}))
def test_every_sentence_has_a_translation_with_the_same_fields(language: str) -> None:
    known = TEXTS.sentences[language]
    used = templates()
    assert len(used) > 50
    assert {template: where for template, where in used.items() if template not in known} == {}
    assert [template for template in used if _fields(known[template]) != _fields(template)] == []


@pytest.mark.parametrize("language", sorted(set(TEXTS.by_language) - {"en"}))
def test_no_translation_has_outlived_its_sentence(language: str) -> None:
    assert set(TEXTS.sentences[language]) - set(templates()) == set()


def test_no_error_is_raised_with_a_string_that_forgets_its_template() -> None:
    plain = [
        f"{name}:{node.lineno}"
        for name, tree in sources()
        if name.startswith("inference/")
        for node in ast.walk(tree)
        if _calls(node, ERRORS)
        and isinstance(node.args[0] if node.args else None, ast.Constant | ast.JoinedStr | ast.BinOp)  # type: ignore[attr-defined]
    ]
    assert plain == []


def test_a_sentence_is_told_in_another_language_with_those_in_it() -> None:
    why = Sentence("The text could not be translated: the translation model failed.")
    told = TEXTS.tell(Sentence("There is no Spanish translation: {why}", why=why), "es")
    assert told == "No hay traducción al español: No se pudo traducir el texto: falló el modelo de traducción."


def test_several_sentences_stay_translatable_as_one() -> None:
    both = Sentence.of(Sentence("The small embedded model runs."), Sentence("There is no folder {name}.", name="x"))
    assert both == "The small embedded model runs. There is no folder x."
    assert TEXTS.tell(both, "zh") == "正在运行内置的小模型。没有文件夹 x。"


def test_an_unknown_language_and_an_unknown_template_stay_english() -> None:
    sentence = Sentence("There is no folder {name}.", name="x")
    assert TEXTS.tell(sentence, "fr") == "There is no folder x."
    assert TEXTS.tell(Sentence("Nobody translated {this}.", this="that"), "es") == "Nobody translated that."


@pytest.mark.parametrize("hostile", ["{name}", "{0}", "{name.__class__}", "%s"])
def test_braces_in_a_field_are_text(hostile: str) -> None:
    sentence = Sentence("There is no folder {name}.", name=hostile)
    assert str(sentence) == f"There is no folder {hostile}."
    assert TEXTS.tell(sentence, "es") == f"No existe la carpeta {hostile}."


def test_an_error_keeps_its_sentence_on_the_way() -> None:
    sentence = Sentence("There is no folder {name}.", name="x")
    error = pickle.loads(pickle.dumps(Busy(sentence)))
    assert str(error) == "There is no folder x."
    assert TEXTS.tell(error.sentence, "es") == "No existe la carpeta x."
    assert Busy("plain").sentence == "plain"
    assert Busy().sentence == ""
