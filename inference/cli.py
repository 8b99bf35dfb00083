"""Asks the model about pictures from the command line: one command, any number of pictures and folders.

Knows arguments, files and exit codes; knows nothing of web pages. What takes seconds to import (torch, transformers) is
imported where it is needed, so that `--help` and a mistyped path answer at once.
"""

import argparse
import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from PIL import Image
from tqdm import tqdm

from inference import many, tasks
from inference.errors import InvalidInput, ModelUnavailable, UserError
from inference.lines import on_one_line
from inference.settings import Quantization, Settings, device_name
from inference.types import Request, Result

if TYPE_CHECKING:
    from inference.hosting import ModelHost
    from inference.pipeline import Pipeline

logger = logging.getLogger(__name__)

ANSWERED, SOME_FAILED, WRONG_USAGE, NO_MODEL, INTERRUPTED, NOT_READ = 0, 1, 2, 3, 130, 141
"""The exit codes; the last two are 128 and the number of the signal, as shells count them."""

_DESCRIPTION = """\
Asks PaliGemma 2 mix about pictures. COMMAND is a prompt in the model's own grammar:

  detect cat ; dog          boxes                  caption en        a description (cap: short, describe: long)
  segment cat ; dog         boxes and masks        answer en what?   an answer
  ocr                       the text in it         question en two   the question that has this answer

or anything else, which goes to the model as it is. A folder stands for the pictures in it and below it.
"""

_EPILOG = """\
output:
  One line a picture on standard output, in the order of the pictures: its path, the answer and, with --translate, the
  translation, separated by tabs; with --json a JSON object, which has an "error" where the picture failed. Notes,
  failures and progress go to standard error.

  With --out, FOLDER gets NAME.json and, where there are boxes or masks, NAME.drawn.png for each picture. Stopped and
  started again, the same command goes on with the pictures that are not answered yet.

exit codes:
  0    every picture is answered
  1    some pictures failed; each has its reason on standard error, the others are answered
  2    wrong usage: a path, flag or command is not allowed
  3    the model cannot be loaded
  130  interrupted
  141  whoever read the output stopped reading

Each of --model, --device, --dtype and --quantize is an environment variable too, for example PALIGEMMA_MODEL=3b.
"""

_DRAWN = ".drawn.png"
_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"))
_LIMITS = {"max_megabytes": 500, "max_megapixels": 250}  # those for uploads keep strangers off; these are own files
_IN_FLIGHT = 8
_AHEAD = 4 * _IN_FLIGHT  # answers that may wait to be printed while an earlier picture is slow
_DEADLINE = 3600.0  # nobody waits at a page; a large model on a CPU takes its time


class _WrongUsage(Exception):
    """A sentence about what was typed."""


@dataclass(frozen=True, slots=True)
class _Options:
    """What was typed, checked as far as it can be without files and models."""

    places: tuple[str, ...]
    request: Request
    command: str
    translate: str | None
    out: Path | None
    json: bool
    overwrite: bool
    verbose: bool
    settings: Settings


@dataclass(frozen=True, slots=True)
class _Source:
    """A picture that is asked about.

    Attributes:
        path: Where it is.
        target: What its output is called, relative to the output folder and without the suffixes of outputs.
        stored: The file with its answer from an earlier run of the same command, or None.
    """

    path: Path
    target: Path
    stored: Path | None = None

    @property
    def name(self) -> str:
        """The path as text; bytes that are no text are replaced."""
        return os.fsencode(self.path).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a picture: the values of its JSON, or the sentence why there are none."""

    source: _Source
    values: Mapping[str, Any] | None = None
    error: str = ""


def main(
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    make_host: "Callable[[Settings], ModelHost] | None" = None,
) -> int:
    """Answers one command about some pictures.

    Args:
        arguments: The command line without the program's name; by default that of the process.
        environment: Where `PALIGEMMA_<FLAG>` variables are looked up.
        make_host: Makes what holds the model, not started; by default that of the settings.

    Returns:
        The exit code, see `--help`.

    Raises:
        SystemExit: With code 2 and a sentence on stderr if a flag is not allowed, with 0 after printing `--help`.
    """
    options = _parse(sys.argv[1:] if arguments is None else arguments, environment)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # answers may be in any script, and a console in only a few
    _log_to_stderr(verbose=options.verbose)
    try:
        return _run(options, _find(options.places), make_host or _host_models)
    except (_WrongUsage, InvalidInput) as error:  # the pictures' own errors are other kinds: this is the command's
        _say(str(error))
        return WRONG_USAGE
    except ModelUnavailable as error:
        _say(str(error))
        return NO_MODEL
    except KeyboardInterrupt:
        _say("Interrupted." + (" The same command goes on from here." if options.out else ""))
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it ends, and would complain again.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_READ


def _host_models(settings: Settings) -> "ModelHost":
    from inference.hosting import host_models

    return host_models(settings)


def _parse(arguments: Sequence[str], environment: Mapping[str, str]) -> _Options:
    parser = argparse.ArgumentParser(
        prog="python -m inference",
        usage="%(prog)s [options] PICTURE_OR_FOLDER... COMMAND",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("places", nargs="+", metavar="PICTURE_OR_FOLDER", help="a picture, or a folder of pictures")
    parser.add_argument("command", metavar="COMMAND", help="what to ask, see above")
    parser.add_argument("--translate", type=_one_of("es"), metavar="es", help="add a Spanish translation")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write a JSON file and a drawn picture for each")
    parser.add_argument("--overwrite", action="store_true", help="answer again what FOLDER holds answers to")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line instead of text")
    parser.add_argument("--verbose", action="store_true", help="say on standard error what is being done")

    def add_setting(flag: str, read: Callable[[str], str], default: str, explanation: str) -> None:
        value = environment.get(f"PALIGEMMA_{flag.upper()}") or default
        # A string default is read like a typed value, so a wrong variable is refused too.
        parser.add_argument(f"--{flag}", type=read, default=value, help=f"{explanation} (default: %(default)s)")

    add_setting("model", _first_name, "auto", "auto, demo, 3b, 10b, a hub id or a folder")
    add_setting("device", device_name, "auto", "auto, cpu, cuda or cuda:N")
    add_setting("dtype", _one_of("auto", "bfloat16", "float16", "float32"), "auto", "auto, bfloat16, float16, float32")
    add_setting("quantize", _one_of("none", "int8", "int4"), "none", "none, int8 or int4")
    typed = parser.parse_intermixed_args(arguments)

    command = " ".join(typed.command.split())
    request = replace(tasks.read_command(command), translate=typed.translate is not None)
    # “ocr” may well be the name of a folder too.
    if request.task == "prompt" and _kind(typed.command) is not None:
        parser.error(f"the last argument is the command, and “{typed.command}” is a {_kind(typed.command)}")
    try:
        tasks.check(request)
    except InvalidInput as error:
        parser.error(str(error))
    return _Options(
        places=tuple(typed.places),
        request=request,
        command=command,
        translate=typed.translate,
        out=typed.out,
        json=typed.json,
        overwrite=typed.overwrite,
        verbose=typed.verbose,
        settings=Settings(
            models=(typed.model,),
            device=typed.device,
            dtype=typed.dtype,
            quantize=cast(Quantization, typed.quantize),
            hang_seconds=_DEADLINE,
        ),
    )


def _kind(place: str) -> str | None:
    """What is at a path: "folder", "file", "device", or None for nothing."""
    if not place:  # to Path this is the folder one stands in, to a shell script a variable that is not set
        return None
    path = Path(place)
    try:
        if path.is_dir():
            return "folder"
        if path.is_file():
            return "file"
        return "device" if path.exists() else None
    except OSError:  # a text that is too long to be a path, or a folder that may not be looked into
        return None


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in allowed:
            raise argparse.ArgumentTypeError(f"'{value}' is not allowed; it can be {', '.join(allowed)}")
        return value

    return read


def _first_name(value: str) -> str:
    # The variable may name several models for the page; the first is its default.
    name = value.split(",")[0].strip()
    if not name:
        raise argparse.ArgumentTypeError("name a model: auto, demo, 3b, 10b, a hub id or a folder")
    return name


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler()
    if not verbose:
        # What the host says without a traceback is the sentence that this program ends with.
        handler.addFilter(lambda record: bool(record.exc_info) or record.name != "inference.hosting")
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, handlers=[handler], format="%(message)s")
    for name in ("httpx", "httpx2"):  # they log every request, addresses and all
        logging.getLogger(name).setLevel(logging.WARNING)


def _find(places: Iterable[str]) -> list[_Source]:
    """The pictures at some places, each once, in order; those of a folder by their names.

    Raises:
        _WrongUsage: A place is not there, or a folder holds no pictures.
    """
    sources: list[_Source] = []
    seen: set[Path] = set()
    taken: set[str] = set()
    for place in places:
        root, kind = Path(place), _kind(place)
        if kind == "folder":
            found = [(path, path.relative_to(root)) for path in _walk(root)]
            if not found:
                raise _WrongUsage(f"The folder “{place}” holds no pictures ({' '.join(sorted(_SUFFIXES))}).")
        elif kind == "file":
            found = [(root, Path(root.name))]
        elif kind == "device":
            raise _WrongUsage(f"“{place}” is neither a file nor a folder.")
        else:
            raise _WrongUsage(f"There is no picture or folder “{place}”.")
        for path, target in found:
            if (real := path.resolve()) not in seen:
                seen.add(real)
                sources.append(_Source(path, _free(target, taken)))
    return sources


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            # An earlier run may have written its drawings into or below this folder.
            is_picture = path.suffix.lower() in _SUFFIXES and not name.endswith(_DRAWN)
            if is_picture and not name.startswith(".") and path.is_file():
                yield path


def _free(target: Path, taken: set[str]) -> Path:
    """The target, with a number if it is taken already; not all file systems tell capital letters apart."""
    chosen, number = target, 1
    while str(chosen).casefold() in taken:
        number += 1
        chosen = target.with_name(f"{target.stem}-{number}{target.suffix}")
    taken.add(str(chosen).casefold())
    return chosen


def _run(options: _Options, sources: Sequence[_Source], make_host: "Callable[[Settings], ModelHost]") -> int:
    from inference.pipeline import Pipeline

    store = None
    host = make_host(options.settings)
    if options.out is not None:
        asked = {
            "command": options.command,
            "translate": options.translate,
            "model": host.statuses()[0].asked,
            "dtype": options.settings.dtype,
            "quantize": options.settings.quantize,
        }
        store = _Store(options.out, asked)
        if not options.overwrite:
            sources = _skip_answered(sources, store)
    waiting = sum(source.stored is None for source in sources)
    try:
        if waiting:
            host.start()
            _wait_for_model(host, say_why=options.settings.models == ("auto",))
            if store is not None:  # it may be another one than was asked for first
                store.asked["model"] = host.statuses()[0].asked
            # Before the first picture: while one waits for a download, those beside it would go without.
            if options.translate:
                host.get().translators.get("en-es")
        answerer = _Answerer(Pipeline(host, deadline=_DEADLINE), options.request, store)
        failed = _report(options, sources, answerer)
    finally:
        host.close()
    if failed and len(sources) > 1:
        _say(f"{failed} of {len(sources)} pictures failed.")
    return SOME_FAILED if failed else ANSWERED


def _skip_answered(sources: Sequence[_Source], store: "_Store") -> list[_Source]:
    """Marks the pictures that have an answer to this command already, and says how many.

    Raises:
        _WrongUsage: The folder holds answers to something else, which would be lost.
    """
    checked = [replace(source, stored=store.answer_to(source)) for source in sources]
    if answered := sum(source.stored is not None for source in checked):
        _say(
            f"{answered} of {len(checked)} pictures {'has' if answered == 1 else 'have'} an answer to this command in "
            f"{store.folder} already; --overwrite asks again."
        )
    return checked


def _wait_for_model(host: "ModelHost", *, say_why: bool) -> None:
    """Waits until the model is there, with a bar on a terminal.

    Raises:
        ModelUnavailable: It cannot be loaded, and why.
    """
    with tqdm(total=100, leave=False, disable=None, bar_format="{desc} {percentage:3.0f} %|{bar}|") as bar:
        while (status := host.statuses()[0]).state in ("waiting", "loading"):
            bar.set_description_str(status.detail, refresh=False)
            bar.update(100 * status.progress - bar.n)
            host.wait(0.1)
    if status.state == "failed":
        raise ModelUnavailable(status.detail)
    if say_why:
        _say(f"{status.name}: {status.detail}")


def _report(options: _Options, sources: Sequence[_Source], answerer: "_Answerer") -> int:
    """Prints what comes of every picture, and returns how many failed."""
    failed = 0
    # Without a terminal a bar would fill a log with its steps.
    hidden = None if len(sources) > 1 else True
    with (
        tqdm(total=len(sources), unit=" pictures", disable=hidden, dynamic_ncols=True) as bar,
        contextlib.closing(_in_order(answerer, sources)) as outcomes,
    ):
        for outcome in outcomes:
            with tqdm.external_write_mode(sys.stdout):  # takes the bar away while lines are written
                failed += outcome.values is None
                if options.json:
                    print(_json_line(outcome), flush=True)  # noqa: T201  # this is the program's output
                elif outcome.values is not None:
                    print(_text_line(outcome.source.name, outcome.values), flush=True)  # noqa: T201  # the same
                    for problem in outcome.values["problems"]:
                        _say(f"{outcome.source.name}: {problem}")
                if outcome.values is None:
                    _say(f"{outcome.source.name}: {outcome.error}")
            bar.update()
    return failed


def _in_order(answerer: "_Answerer", sources: Iterable[_Source]) -> Generator[_Outcome, None, None]:
    """Asks about several pictures at a time, so that the engine answers them together; the order stays.

    Closing the generator cancels what is in flight.
    """
    pool = ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="picture")
    pending: deque[Future[_Outcome]] = deque()
    try:
        for source in sources:
            pending.append(pool.submit(answerer.answer, source))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        answerer.stop()
        pool.shutdown(cancel_futures=True)


class _Answerer:
    """Answers the same request about many pictures, from several threads at once.

    Args:
        pipeline: Answers one.
        request: What to ask about each.
        store: Where the answers are kept, or None if nowhere.
    """

    def __init__(self, pipeline: "Pipeline", request: Request, store: "_Store | None") -> None:
        self._pipeline = pipeline
        self._request = request
        self._store = store
        self._stopped = threading.Event()
        self._decoding = threading.Semaphore(1)  # a large picture takes gigabytes for a moment

    def stop(self) -> None:
        """Cancels the requests in flight, each before its next token."""
        self._stopped.set()

    def answer(self, source: _Source) -> _Outcome:
        """What comes of a picture.

        Raises:
            InvalidInput: The command is not allowed, whatever the picture.
        """
        try:
            if source.stored is not None:
                return _Outcome(source, json.loads(source.stored.read_text(encoding="utf-8")))
            return _Outcome(source, self._ask(source))
        except InvalidInput:
            raise
        except UserError as error:
            return _Outcome(source, error=str(error))
        except OSError as error:
            return _Outcome(source, error=f"The answer cannot be kept: {error.strerror or error}.")
        except Exception:
            logger.exception("%s could not be answered", source.name)
            return _Outcome(source, error="This picture could not be answered because of a fault in the program.")

    def _ask(self, source: _Source) -> dict[str, Any]:
        from inference.images import Limits, open_picture

        image = open_picture(source.path, Limits(**_LIMITS, decoding=self._decoding, patience=_DEADLINE))
        request = replace(self._request, image=image, id=source.name)
        result = many.answer(self._pipeline, request, stopped=self._stopped.is_set)
        if self._store is not None:
            self._store.keep(source, image, result)
        return result.to_json()


class _Store:
    """The folder that keeps the answers, for each picture a JSON file and perhaps a drawing.

    The JSON file is written last and at once, so where there is one, the answer is complete.

    Args:
        folder: Is made where it is missing.
        asked: What the answers are to, as plain JSON values.

    Raises:
        _WrongUsage: The folder cannot be made.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.folder = folder
        self.asked = dict(asked)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _WrongUsage(f"The folder “{folder}” cannot be made: {error.strerror}.") from error

    def answer_to(self, source: _Source) -> Path | None:
        """The file with the answer to this run's command about a picture, or None if there is none yet.

        Raises:
            _WrongUsage: There is a file of that name with something else in it.
        """
        path = self._path(source, ".json")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                return None  # what it means for this picture is said when its answer is kept
            values = None
        if not isinstance(values, dict) or values.get("asked") != self._asked_about(source):
            raise _WrongUsage(
                f"{path} holds something else than the answer to this command about this picture and with this model; "
                "give another folder, or --overwrite to replace it."
            )
        return path

    def keep(self, source: _Source, image: Image.Image, result: Result) -> None:
        """Writes the answer about a picture.

        Raises:
            OSError: It cannot be written.
        """
        from inference import exports

        path, drawing = self._path(source, ".json"), self._path(source, _DRAWN)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if exports.has_places(result):
            _write(drawing, exports.drawn_png(exports.Exported(source.name, image, result)))
        else:
            drawing.unlink(missing_ok=True)
        values = result.to_json() | {"asked": self._asked_about(source)}
        _write(path, (json.dumps(values, ensure_ascii=False, indent=2) + "\n").encode())

    def _path(self, source: _Source, suffix: str) -> Path:
        # The picture's own suffix stays, so that cat.jpg and cat.png keep apart whichever of them is asked about.
        return self.folder / source.target.with_name(source.target.name + suffix)

    def _asked_about(self, source: _Source) -> dict[str, Any]:
        try:
            with source.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            digest = ""  # what is wrong with the picture is said where it is opened
        return self.asked | {"sha256": digest}


def _write(path: Path, content: bytes) -> None:
    """Writes a file so that it is never there in part."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _json_line(outcome: _Outcome) -> str:
    values = {"picture": outcome.source.name}
    if outcome.values is None:
        values["error"] = outcome.error
    else:
        values |= {name: value for name, value in outcome.values.items() if name != "asked"}
    return json.dumps(values, ensure_ascii=False)


def _text_line(name: str, values: Mapping[str, Any]) -> str:
    things = []
    for thing in values["detections"]:
        score = "" if thing["score"] is None else f" {thing['score']:.2f}"
        things.append(f"{thing['label']}{score} ({' '.join(f'{edge:g}' for edge in thing['box'])})")
    columns = [name, " ; ".join(things) or values["text"]]
    if values["translation"]:
        columns.append(values["translation"]["text"])
    return "\t".join(map(on_one_line, columns))


def _say(sentence: str) -> None:
    print(on_one_line(sentence), file=sys.stderr, flush=True)  # noqa: T201  # to the person at the terminal
