"""The settings of the app: built once, from flags and `PALIGEMMA_<FLAG>` environment variables, then never changed."""

import argparse
import dataclasses
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

Quantization = Literal["none", "int8", "int4"]
LogFormat = Literal["text", "json"]


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
        max_batch: How many pictures may be asked about at once.
        max_video_seconds: How long an uploaded clip may be.
        max_video_mb: Size limit of an uploaded clip, in megabytes.
        video_frames: How many frames of a clip are asked about unless the visitor says otherwise.
        max_video_frames: How many they may be.
        max_queue: How many requests may wait.
        max_per_visitor: How many requests of one visitor may wait or be answered at once.
        deadline: Seconds until an answer's last token, waiting included; translating it comes after.
        hang_seconds: Seconds that one step of a model may take before the model is started again.
        drain_seconds: Seconds that what is being answered is given when the app is told to stop.
        trusted_proxy: Addresses or networks of proxies that are believed when they say for whom they ask.
        metrics: (address, port) where Prometheus' metrics are served, or None.
        log_format: Lines of `text`, or of `json` for machines.
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
    max_batch: int = 8
    max_video_seconds: float = 60.0
    max_video_mb: float = 50.0
    video_frames: int = 8
    max_video_frames: int = 32
    max_queue: int = 64
    max_per_visitor: int = 8
    deadline: float = 120.0
    hang_seconds: float = 300.0
    drain_seconds: float = 20.0
    trusted_proxy: tuple[str, ...] = ()
    metrics: tuple[str, int] | None = None
    log_format: LogFormat = "text"
    mcp: bool = False


_PREFIX = "PALIGEMMA_"

_MOST = 1_000_000_000
"""Of anything that can be counted here: seconds that threads cannot wait and bytes that are infinite lie beyond."""


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
    add = parser.add_argument
    add(
        "--model",
        dest="models",
        type=_names,
        metavar="NAME[,NAME…]",
        help="auto, demo, 3b, 10b, a hub id or a folder, each also as 3b:int8 or 3b:bfloat16; several give a choice on "
        "the page (default: auto, the largest that the GPU's memory holds, else the embedded one)",
    )
    add("--device", type=device_name, help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--dtype", choices=("auto", "bfloat16", "float16", "float32"))
    add("--quantize", choices=("none", "int8", "int4"))
    add("--host", type=_address, help="address to serve on (default: 127.0.0.1, only this machine)")
    add("--port", type=_port)
    add("--share", type=_switch, nargs="?", const=True, help="open a gradio.live link")
    add("--auth", type=_auth, metavar="USER:PASSWORD", help="ask visitors for a login")
    add("--max-upload-mb", type=_positive_number)
    add("--max-batch", type=_positive_whole_number, help="pictures that may be asked about at once")
    add("--max-video-seconds", type=_positive_number, help="length of an uploaded clip (default: 60)")
    add("--max-video-mb", type=_positive_number, help="its file's size (default: 50)")
    add("--video-frames", type=_positive_whole_number, help="frames of a clip to ask about (default: 8)")
    add("--max-video-frames", type=_positive_whole_number, help="how many a visitor may choose (default: 32)")
    add("--max-queue", type=_positive_whole_number)
    add("--max-per-visitor", type=_positive_whole_number)
    add("--deadline", type=_positive_number, metavar="SECONDS", help="for one request (default: 120)")
    add(
        "--hang-seconds",
        type=_positive_number,
        metavar="SECONDS",
        help="after which a model that does not get on is started again (default: 300)",
    )
    add(
        "--drain-seconds",
        type=_positive_number,
        metavar="SECONDS",
        help="that running requests are given when the app is told to stop (default: 20)",
    )
    add(
        "--trusted-proxy",
        type=_networks,
        metavar="ADDRESS[,ADDRESS…]",
        help="proxies, by address or network, whose X-Forwarded-For names the visitor (default: none)",
    )
    add(
        "--metrics",
        type=_place,
        metavar="[ADDRESS:]PORT",
        help="serve Prometheus' metrics there, without a login (default: not at all; ADDRESS: 127.0.0.1)",
    )
    add("--log-format", choices=("text", "json"))
    add("--mcp", type=_switch, nargs="?", const=True, help="serve tasks as MCP tools")
    parser.set_defaults(**dataclasses.asdict(Settings()))

    # argparse runs a string default through the flag's own type; choices it would not check, so look at those here.
    for action in parser._actions:
        variable = _PREFIX + action.option_strings[0].removeprefix("--").replace("-", "_").upper()
        if action.dest != "help" and (value := environment.get(variable)):
            if action.choices is not None and value not in action.choices:
                _refuse(parser, variable, value, f"choose from {', '.join(map(str, action.choices))}")
            action.default = value
    settings = Settings(**vars(parser.parse_args(arguments)))
    # More than the usual limit by themselves raise it; a limit that was set holds.
    most = settings.max_video_frames
    most = max(most, settings.video_frames) if most == Settings().max_video_frames else most
    return replace(settings, video_frames=min(settings.video_frames, most), max_video_frames=most)


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
    if not 0 < _whole(value) < 65536:
        raise argparse.ArgumentTypeError(f"'{value}' is not a port; it is a whole number from 1 to 65535")
    return int(value)


def _positive_number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= _MOST:
        raise argparse.ArgumentTypeError(f"'{value}' is not allowed; it is a number above 0, at most {_MOST:,}")
    return number


def _positive_whole_number(value: str) -> int:
    if not 0 < (number := _whole(value)) <= _MOST:
        raise argparse.ArgumentTypeError(f"'{value}' is not allowed; it is a whole number above 0, at most {_MOST:,}")
    return number


def _whole(value: str) -> int:
    """The whole number that a text is, or 0 if it is none, or one that Python does not read for its length."""
    return int(value) if value.isdecimal() and len(value) < 20 else 0


def _switch(value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"'{value}' is neither yes nor no; it can be 1, true, yes, on, 0, false, no, off")


def _networks(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            message = f"'{name}' is neither an address nor a network; it can be 10.0.0.2 or 10.0.0.0/8"
            raise argparse.ArgumentTypeError(message) from None
    return names


def _place(value: str) -> tuple[str, int]:
    address, _, port = value.rpartition(":")
    return _address(address) or "127.0.0.1", _port(port)


def _address(value: str) -> str:
    return value.strip("[]")  # in which IPv6 stands where a port may follow


def _auth(value: str) -> tuple[str, str]:
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("give a login as USER:PASSWORD")
    return user, password
