"""The settings of the app: built once, from flags and `PALIGEMMA_<FLAG>` environment variables, then never changed."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, cast

Quantization = Literal["none", "int8", "int4"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the app.

    Attributes:
        models: Names of the models to load, the first is the default: `auto`, `demo`, `3b`, `10b`, hub ids or folders.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto`, `bfloat16`, `float16` or `float32`.
        quantize: Weights of the text model.
        host, port: Where the page is served.
        share: Whether to open a public `.gradio.live` link.
        auth: (user, password) that the page asks for, or None.
        max_upload_mb: Size limit of an uploaded picture, in megabytes.
        max_queue: How many requests may wait.
        mcp: Whether the tasks are served as MCP tools too.
    """

    models: tuple[str, ...] = ("auto",)
    device: str = "auto"
    dtype: str = "auto"
    quantize: Quantization = "none"
    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    auth: tuple[str, str] | None = None
    max_upload_mb: float = 20.0
    max_queue: int = 64
    mcp: bool = False


_PREFIX = "PALIGEMMA_"


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the settings; a flag beats its environment variable, which beats the default.

    Args:
        arguments: The command line without the program's name.
        environment: Where `PALIGEMMA_<FLAG>` variables are looked up.

    Raises:
        SystemExit: With code 2 and a sentence on stderr if a value is not allowed, or after printing `--help`.
    """
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="A web app for PaliGemma 2 mix: describe, read, answer, detect and segment.",
        epilog="Every flag is also an environment variable, for example PALIGEMMA_MODEL=3b.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model", type=_names, default=("auto",), metavar="NAME[,NAME…]",
        help="auto, demo, 3b, 10b, a hub id or a folder; several give a choice on the page (default: auto, the largest "
        "that the GPU's memory holds, else the embedded one)",
    )  # fmt: skip
    parser.add_argument("--device", type=device_name, default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float16", "float32"), default="auto")
    parser.add_argument("--quantize", choices=("none", "int8", "int4"), default="none")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1, only this machine)"
    )
    parser.add_argument("--port", type=_port, default=7860)
    parser.add_argument("--share", type=_switch, nargs="?", const=True, default=False, help="open a gradio.live link")
    parser.add_argument("--auth", type=_auth, default=None, metavar="USER:PASSWORD", help="ask visitors for a login")
    parser.add_argument("--max-upload-mb", type=_positive_number, default=20.0)
    parser.add_argument("--max-queue", type=_positive_whole_number, default=64)
    parser.add_argument("--mcp", type=_switch, nargs="?", const=True, default=False, help="serve tasks as MCP tools")

    # argparse runs a string default through the flag's own type; choices it would not check, so look at those here.
    for action in parser._actions:
        variable = _PREFIX + action.dest.upper()
        if action.dest != "help" and (value := environment.get(variable)):
            if action.choices is not None and value not in action.choices:
                _refuse(parser, variable, value, f"choose from {', '.join(map(str, action.choices))}")
            action.default = value
    options = parser.parse_args(arguments)
    return Settings(
        models=options.model,
        device=options.device,
        dtype=options.dtype,
        quantize=cast(Quantization, options.quantize),
        host=options.host,
        port=options.port,
        share=options.share,
        auth=options.auth,
        max_upload_mb=options.max_upload_mb,
        max_queue=options.max_queue,
        mcp=options.mcp,
    )


def _refuse(parser: argparse.ArgumentParser, variable: str, value: str, advice: str) -> NoReturn:
    parser.error(f"{variable}: invalid value '{value}' ({advice})")


def _names(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("name at least one model: auto, demo, 3b, 10b, a hub id or a folder")
    return names


def device_name(value: str) -> str:
    """Reads the name of a device, for a flag of a command line.

    Raises:
        argparse.ArgumentTypeError: It is not the name of one; the message says what can be.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise argparse.ArgumentTypeError(f"'{value}' is not a device; it can be auto, cpu, cuda or cuda:N")
    return value


def _port(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise argparse.ArgumentTypeError(f"'{value}' is not a port; it is a whole number from 1 to 65535")
    return int(value)


def _positive_number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"'{value}' is not allowed; it is a number above 0")
    return number


def _positive_whole_number(value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        raise argparse.ArgumentTypeError(f"'{value}' is not allowed; it is a whole number above 0")
    return int(value)


def _switch(value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"'{value}' is neither yes nor no; it can be 1, true, yes, on, 0, false, no, off")


def _auth(value: str) -> tuple[str, str]:
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("give a login as USER:PASSWORD")
    return user, password
