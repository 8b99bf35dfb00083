"""The command line as a person uses it: what is printed, what is written, and the exit code."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from inference import translation
from inference.checkpoints import Choice
from inference.cli import main
from inference.engine import Queued, Started, Token
from inference.errors import Busy, InvalidInput, ModelUnavailable
from inference.hosting import HostedModel, ModelHost, ModelStatus
from inference.loading import LoadedModel
from inference.settings import Settings
from inference.translation import Translators
from inference.types import Timing
from tests.support.tiny import Shouting, tiny_loaded

CAT = "<loc0100><loc0100><loc0900><loc0900> cat"
ROOT = Path(__file__).resolve().parents[2]


class Answer:
    """An answer whose text is known beforehand."""

    def __init__(self, text: str, before: Callable[[], None], *, endless: bool) -> None:
        self.timing = Timing()
        self._pieces = re.findall(r"<loc\d{4}>|[^<]+", text)
        self._endless = endless
        self._before = before

    def __iter__(self) -> Iterator[Queued | Started | Token]:
        yield Queued(0)
        self._before()
        yield Started()
        for piece in self._pieces:
            yield Token(0, piece, 0.5, 0.5)
        while self._endless:
            threading.Event().wait(0.01)
            yield Token(0, "!", 0.5, 0.5)

    def cancel(self) -> None:
        pass


class Script:
    """An engine that answers every picture as a test says; it knows them by the red of their first pixel."""

    def __init__(
        self, text: str = CAT, *, before: Callable[[int], None] = lambda red: None, endless: int | None = None
    ) -> None:
        self.text = text
        self.before = before
        self.endless = endless
        self.asked: list[tuple[int, str]] = []

    def submit(self, image: Image.Image, prompt: str, *, max_new_tokens: int, deadline: float, **_: object) -> Answer:
        red = image.getpixel((0, 0))[0]
        self.asked.append((red, prompt))
        return Answer(self.text, lambda: self.before(red), endless=red == self.endless)


class Host:
    """Holds one model, whose engine is a script."""

    def __init__(self, engine: Script, name: str = "scripted") -> None:
        self.engine = engine
        self.started = self.closed = False
        self._status = ModelStatus(name, "waiting", detail="It is the only one.", asked=name)
        loaded = tiny_loaded(name, model=object(), processor=object())  # it is never run
        self._hosted = HostedModel(loaded, engine, Shouting())  # type: ignore[arg-type]

    def start(self) -> None:
        self.started = True
        self._status = replace(self._status, state="ready")

    def wait(self, timeout: float | None = None) -> None:
        pass

    def statuses(self) -> tuple[ModelStatus, ...]:
        return (self._status,)

    def get(self, name: str | None = None) -> HostedModel:
        return self._hosted

    def close(self) -> None:
        self.closed = True


def run(*arguments: object, engine: Script | None = None, host: Host | None = None) -> int:
    host = host or Host(engine or Script())
    return main([str(argument) for argument in arguments], environment={}, make_host=lambda _: host)  # type: ignore


def picture(path: Path, red: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 50), (red, 0, 0)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one of them further down, among files that are none."""
    picture(tmp_path / "in" / "a.png", 1)
    picture(tmp_path / "in" / "b.png", 2)
    picture(tmp_path / "in" / "deep" / "c.png", 3)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_text("no picture")
    return tmp_path / "in"


def test_one_picture_gives_one_line(tmp_path, capsys):
    path = picture(tmp_path / "a.png")

    assert run(path, "detect cat") == 0
    assert capsys.readouterr().out == f"{path}\tcat 0.50 (9.78 4.89 87.98 43.99)\n"


def test_a_text_stays_on_its_line_and_its_translation_beside_it(tmp_path, capsys):
    path = picture(tmp_path / "a.png")
    code = run(path, "ocr", "--translate", "es", engine=Script("stop\nhere\x1b[31m"))

    assert code == 0
    assert capsys.readouterr().out == f"{path}\tstop here [31m\tSTOP HERE [31M\n"


def test_with_json_every_line_is_a_result(folder, capsys):
    assert run(folder, "detect cat", "--json") == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["picture"]).name for line in lines] == ["a.png", "b.png", "c.png"]
    assert [line["detections"][0]["label"] for line in lines] == ["cat"] * 3
    assert lines[0]["image"] == {"width": 100, "height": 50}


def test_flags_may_stand_anywhere(folder, tmp_path, capsys):
    assert run("--json", folder / "a.png", "--out", tmp_path / "out", "detect cat") == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "detect cat"


def test_out_gets_a_drawing_and_a_result_for_each_picture(folder, tmp_path):
    assert run(folder, "detect cat", "--out", tmp_path / "out") == 0

    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == [
        "a.png.drawn.png", "a.png.json", "b.png.drawn.png", "b.png.json", "deep/c.png.drawn.png", "deep/c.png.json",
    ]  # fmt: skip
    assert Image.open(tmp_path / "out" / "a.png.drawn.png").size == (100, 50)
    assert json.loads((tmp_path / "out" / "a.png.json").read_text())["text"] == "cat"


def test_a_text_has_no_drawing(folder, tmp_path):
    assert run(folder, "ocr", "--out", tmp_path / "out", engine=Script("stop")) == 0
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_second_run_asks_only_about_what_is_new_and_prints_everything(folder, tmp_path, capsys):
    first, second, third = Script(), Script(), Host(Script())
    run(folder, "detect cat", "--json", "--out", tmp_path / "out", engine=first)
    before = capsys.readouterr().out
    (tmp_path / "out" / "b.png.json").unlink()

    assert run(folder, "detect cat", "--json", "--out", tmp_path / "out", engine=second) == 0
    printed = capsys.readouterr()
    assert [red for red, _ in second.asked] == [2]
    assert "2 of 3 pictures have an answer" in printed.err
    assert [json.loads(line)["picture"] for line in printed.out.splitlines()] == [
        json.loads(line)["picture"] for line in before.splitlines()
    ]
    assert run(folder, "detect cat", "--out", tmp_path / "out", host=third) == 0
    assert not third.started  # with nothing to ask, no model is loaded


def test_drawings_beside_the_pictures_are_not_taken_for_pictures(folder, capsys):
    run(folder, "detect cat", "--out", folder)
    again = Script()

    assert run(folder, "detect cat", "--out", folder, engine=again) == 0
    assert again.asked == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder, out: ["detect dog"], id="another command"),
        pytest.param(lambda folder, out: ["detect cat", "--translate", "es"], id="with a translation"),
        pytest.param(lambda folder, out: picture(folder / "b.png", 9) and ["detect cat"], id="a changed picture"),
        pytest.param(
            lambda folder, out: (out / "b.png.json").write_text('{"mine": 1}') and ["detect cat"],
            id="someone's own file",
        ),
        pytest.param(lambda folder, out: (out / "b.png.json").write_text("{") and ["detect cat"], id="a damaged file"),
    ],
)
def test_answers_to_something_else_are_replaced_only_on_demand(folder, tmp_path, capsys, change):
    out = tmp_path / "out"
    run(folder, "detect cat", "--out", out)
    arguments = change(folder, out)
    kept = (out / "b.png.json").read_bytes()
    capsys.readouterr()

    assert run(folder, *arguments, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "b.png.json").read_bytes() == kept
    assert run(folder, *arguments, "--out", out, "--overwrite") == 0
    assert json.loads((out / "b.png.json").read_text())["asked"]["command"] == arguments[0]


def test_another_model_is_another_answer(folder, tmp_path, capsys):
    run(folder, "detect cat", "--out", tmp_path / "out")

    assert run(folder, "detect cat", "--out", tmp_path / "out", host=Host(Script(), "another")) == 2
    assert "this model" in capsys.readouterr().err


def test_a_broken_picture_fails_beside_the_others(folder, tmp_path, capsys):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])

    assert run(folder, "detect cat", "--json", "--out", tmp_path / "out") == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert ["error" in line for line in lines] == [False, True, False]
    assert "b.png: The picture is damaged" in printed.err
    assert "1 of 3 pictures failed" in printed.err
    assert not (tmp_path / "out" / "b.png.json").exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        pytest.param(Busy("The machine ran out of memory for this request."), "ran out of memory", id="no memory"),
        pytest.param(ZeroDivisionError(), "a fault in the program", id="a bug"),
    ],
)
def test_a_request_that_fails_leaves_the_others_alone(folder, capsys, error, sentence):
    def fail(red: int) -> None:
        if red == 1:
            raise error

    assert run(folder, "detect cat", engine=Script(before=fail)) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert sentence in printed.err


def test_a_command_that_no_picture_could_answer_ends_the_run_at_once(folder, capsys):
    def refuse(red: int) -> None:
        raise InvalidInput("The prompt is 300 tokens long; at most 256 are allowed. Shorten it.")

    assert run(folder, "detect cat", engine=Script(before=refuse)) == 2
    assert capsys.readouterr().err.count("300 tokens") == 1


def test_answers_are_kept_only_whole(folder, tmp_path, capsys):
    (tmp_path / "out" / "b.png.drawn.png").mkdir(parents=True)  # so the drawing cannot be written

    assert run(folder, "detect cat", "--out", tmp_path / "out") == 1
    assert not (tmp_path / "out" / "b.png.json").exists()
    assert not list((tmp_path / "out").rglob("*.part"))
    assert "b.png: The answer cannot be kept" in capsys.readouterr().err


def test_several_pictures_are_asked_about_together_and_printed_in_order(folder, capsys):
    together = threading.Barrier(3)
    third_is_done = threading.Event()

    def hold(red: int) -> None:
        together.wait(20)  # one after another, nobody would come to the second
        if red == 3:
            third_is_done.set()
        elif red == 1:
            third_is_done.wait(20)

    assert run(folder, "detect cat", engine=Script(before=hold)) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"(\w)\.png\t", printed) == ["a", "b", "c"]


@pytest.fixture
def interruptible():
    """Python's own handling of an interrupt, which a shell switches off for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_it_stops_and_later_goes_on(folder, tmp_path, capsys):
    out = tmp_path / "out"

    def interrupt(red: int) -> None:
        if red == 3:
            while not (out / "a.png.json").exists():
                threading.Event().wait(0.01)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    host = Host(Script(before=interrupt, endless=2))
    assert run(folder, "detect cat", "--out", out, host=host) == 130
    assert host.closed
    assert "goes on from here" in capsys.readouterr().err

    again = Script()
    assert run(folder, "detect cat", "--out", out, engine=again) == 0
    reds = {red for red, _ in again.asked}
    assert 1 not in reds
    assert 2 in reds
    assert len(list(out.rglob("*.json"))) == 3


def test_a_reader_that_leaves_ends_the_run_quietly(folder, capsys, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())

    assert run(folder, "detect cat") == 141
    assert "rror" not in capsys.readouterr().err


class Terminal(io.StringIO):
    """Takes what is written for a person."""

    def isatty(self) -> bool:
        return True


def test_a_folder_has_a_progress_bar_on_a_terminal_and_only_there(folder, capsys, monkeypatch):
    run(folder, "detect cat")
    assert capsys.readouterr().err.count("\n") == 1  # why this model was chosen
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(folder, "detect cat")

    assert "3/3" in sys.stderr.getvalue()


def test_notes_go_to_the_person_and_not_into_the_output(tmp_path, capsys):
    path = picture(tmp_path / "a.png")

    assert run(path, "detect cat", engine=Script("nothing")) == 0
    printed = capsys.readouterr()
    assert "Not found: cat" in printed.err
    assert "Not found: cat" not in printed.out


def test_the_same_picture_named_twice_is_asked_about_once(folder, capsys):
    engine = Script()

    run(folder, folder / "a.png", folder / ".." / "in" / "b.png", "detect cat", engine=engine)
    assert sorted(red for red, _ in engine.asked) == [1, 2, 3]


def test_pictures_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    one, other = picture(tmp_path / "x" / "a.png", 1), picture(tmp_path / "y" / "a.png", 2)

    assert run(one, other, "detect cat", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["a-2.png.json", "a.png.json"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["gone.png", "ocr"], "There is no picture or folder “gone.png”", id="a missing file"),
        pytest.param(["x" * 5000, "ocr"], "There is no picture or folder", id="a path that cannot be"),
        pytest.param(["", "ocr"], "There is no picture or folder “”", id="an unset variable"),
        pytest.param(["empty", "ocr"], "“empty” holds no pictures", id="a folder without pictures"),
        pytest.param([os.devnull, "ocr"], "neither a file nor a folder", id="a device"),
        pytest.param(["a.png", "ocr", "--out", "a.png"], "cannot be made", id="output into a file"),
    ],
)
def test_a_wrong_path_is_one_plain_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()

    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["a.png"], "required: COMMAND", id="no command"),
        pytest.param(["a.png", "a.png"], "the last argument is the command", id="a picture for a command"),
        pytest.param(["a.png", "detect ;"], "Name at least one thing", id="nothing to detect"),
        pytest.param(["a.png", "answer en"], "Type a question", id="no question"),
        pytest.param(["a.png", "x" * 5000], "at most 1,000", id="endless command"),
        pytest.param(["a.png", ""], "Type a prompt", id="empty command"),
        pytest.param(["a.png", "ocr", "--translate", "fr"], "it can be es", id="another language"),
        pytest.param(["a.png", "ocr", "--device", "tpu"], "auto, cpu, cuda or cuda:N", id="another device"),
        pytest.param(["a.png", "ocr", "--jsn"], "unrecognized arguments", id="a mistyped flag"),
    ],
)
def test_wrong_usage_says_what_is_allowed(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")

    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_called_like_a_command_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    (tmp_path / "ocr").mkdir()

    assert run("a.png", "ocr", engine=Script("stop")) == 0


def test_flags_beat_variables_and_of_several_models_the_first_is_asked(tmp_path):
    asked: list[Settings] = []

    def make_host(settings: Settings) -> ModelHost:
        asked.append(settings)
        return Host(Script())  # type: ignore[return-value]

    variables = {"PALIGEMMA_MODEL": "3b,10b", "PALIGEMMA_DTYPE": "bfloat16", "PALIGEMMA_PORT": "none of its business"}
    path = str(picture(tmp_path / "a.png"))
    assert main([path, "ocr", "--dtype", "float32"], environment=variables, make_host=make_host) == 0

    # A large model on a CPU may look at a picture for longer than a page would wait for it.
    assert asked == [Settings(models=("3b",), dtype="float32", hang_seconds=3600.0)]


def test_a_variable_with_a_percent_sign_does_not_spoil_the_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"], environment={"PALIGEMMA_MODEL": "/data/100%/model"})

    assert "/data/100%/model" in " ".join(capsys.readouterr().out.split())


def test_an_answer_that_the_console_cannot_show_costs_its_characters_and_not_the_run(folder, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", console)

    assert run(folder, "ocr", engine=Script("咖啡 café")) == 0
    console.flush()
    assert console.buffer.getvalue().decode("cp1252").count("?? café") == 3


def test_a_model_that_is_not_there_is_one_plain_sentence(tmp_path, capsys):
    path = str(picture(tmp_path / "a.png"))

    assert main([path, "ocr", "--model", "nope", "--device", "cpu"], environment={}) == 3
    said = capsys.readouterr().err
    assert "There is no model “nope”" in said
    assert said.count("\n") == 1


def test_a_real_model_answers_through_its_host(folder, tmp_path, capsys):
    host = ModelHost(
        [Choice("tiny", "because a test says so")],
        load=lambda name, *, progress: tiny_loaded(name),
        translators=lambda _: Shouting(),
    )
    code = main([str(folder), "cap en", "--json"], environment={}, make_host=lambda _: host)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [(line["model"], line["prompt"]) for line in lines] == [("tiny", "cap en")] * 3
    assert all(line["timing"]["tokens"] for line in lines)


def test_no_picture_goes_without_its_translation_because_the_translator_is_still_loading(
    folder, tmp_path, capsys, monkeypatch
):
    """The pictures are asked about side by side; all but one of them would not wait for it."""
    monkeypatch.setattr(translation, "_PATIENCE", 0.0)
    sources = {"en-es": str(ROOT / "assets/translation-en-es")}
    host = ModelHost(
        [Choice("tiny", "because a test says so")],
        load=lambda name, *, progress: tiny_loaded(name),
        translators=lambda _: Translators(sources, device=torch.device("cpu")),
    )
    arguments = [str(folder), "cap en", "--translate", "es", "--json", "--out", str(tmp_path / "out")]
    code = main(arguments, environment={}, make_host=lambda _: host)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [line["translation"]["language"] for line in lines] == ["es"] * 3


def test_where_the_translator_cannot_be_had_nothing_is_answered_without_it(folder, capsys):
    host = ModelHost(
        [Choice("tiny", "because a test says so")],
        load=lambda name, *, progress: tiny_loaded(name),
        translators=lambda _: Translators({"en-es": "/not/there"}, device=torch.device("cpu")),
    )
    assert main([str(folder), "cap en", "--translate", "es"], environment={}, make_host=lambda _: host) == 3
    assert "the folder /not/there is missing" in capsys.readouterr().err


def test_answers_of_the_model_that_runs_instead_are_not_kept_as_those_of_the_one_asked_for(folder, tmp_path, capsys):
    out = tmp_path / "out"

    def ask(fails: bool) -> int:
        def load(name: str, *, progress: Callable[[float, str], None]) -> LoadedModel:
            if fails and name == "large":
                raise ModelUnavailable("The network is gone.")
            return tiny_loaded(name)

        host = ModelHost([Choice("large", "It fits.", otherwise="small")], load=load, translators=lambda _: Shouting())
        return main([str(folder), "cap en", "--out", str(out)], environment={}, make_host=lambda _: host)

    assert ask(fails=True) == 0
    assert json.loads((out / "a.png.json").read_text())["model"] == "small"
    assert ask(fails=False) == 2
    assert "with this model" in capsys.readouterr().err


def test_a_name_too_long_for_its_answer_fails_alone(folder, tmp_path, capsys):
    long = picture(folder / f"{'ñ' * 123}.png", 4)
    assert run(folder, "detect cat", "--out", tmp_path / "out") == 1
    assert long.name in (said := capsys.readouterr().err)
    assert "cannot be kept" in said
    assert len(list((tmp_path / "out").rglob("*.json"))) == 3


def test_ones_own_pictures_may_be_larger_than_uploads(tmp_path, capsys):
    path = tmp_path / "phone.png"
    Image.new("L", (8064, 6048)).save(path, compress_level=1)
    assert run(path, "detect cat") == 0


def test_started_as_a_program_it_explains_itself_and_its_exit_codes():
    done = subprocess.run(
        [sys.executable, "-m", "inference", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0
    assert re.search(r"3 +the model cannot be loaded", done.stdout)
    assert done.stderr == ""


def test_started_as_a_program_a_mistake_is_its_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "inference", "gone.png", "ocr"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no picture or folder “gone.png”.\n"
