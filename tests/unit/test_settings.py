"""Settings from flags and environment variables."""

import dataclasses

import pytest

from inference.settings import Settings, parse_settings


def test_without_flags_and_variables_the_defaults_hold():
    assert parse_settings([], {}) == Settings()


def test_by_default_nothing_is_public():
    settings = parse_settings([], {})
    assert settings.host == "127.0.0.1"
    assert not settings.share


SETTINGS = [
    pytest.param(["--model", "3b, demo,3b"], "models", ("3b", "demo"), id="several models"),
    pytest.param(["--device", "cuda:1"], "device", "cuda:1", id="second GPU"),
    pytest.param(["--dtype", "float32"], "dtype", "float32", id="dtype"),
    pytest.param(["--quantize", "int4"], "quantize", "int4", id="quantize"),
    pytest.param(["--host", "0.0.0.0"], "host", "0.0.0.0", id="host"),
    pytest.param(["--host", "[::1]"], "host", "::1", id="host by IPv6"),
    pytest.param(["--port", "80"], "port", 80, id="port"),
    pytest.param(["--share"], "share", True, id="share"),
    pytest.param(["--auth", "a:b:c"], "auth", ("a", "b:c"), id="colon in password"),
    pytest.param(["--max-upload-mb", "2.5"], "max_upload_mb", 2.5, id="pictures' size"),
    pytest.param(["--max-batch", "3"], "max_batch", 3, id="batch"),
    pytest.param(["--max-video-seconds", "2.5"], "max_video_seconds", 2.5, id="clips' length"),
    pytest.param(["--max-video-mb", "2.5"], "max_video_mb", 2.5, id="clips' size"),
    pytest.param(["--video-frames", "3"], "video_frames", 3, id="frames"),
    pytest.param(["--max-video-frames", "9"], "max_video_frames", 9, id="most frames"),
    pytest.param(["--video-frames", "50"], "max_video_frames", 50, id="as many frames as the usual ones"),
    pytest.param(["--max-queue", "1"], "max_queue", 1, id="queue"),
    pytest.param(["--max-per-visitor", "3"], "max_per_visitor", 3, id="visitor"),
    pytest.param(["--deadline", "9"], "deadline", 9.0, id="deadline"),
    pytest.param(["--hang-seconds", "9"], "hang_seconds", 9.0, id="hang"),
    pytest.param(["--drain-seconds", "9"], "drain_seconds", 9.0, id="drain"),
    pytest.param(["--trusted-proxy", "10.0.0.0/8, ::1"], "trusted_proxy", ("10.0.0.0/8", "::1"), id="proxies"),
    pytest.param(["--metrics", "9"], "metrics", ("127.0.0.1", 9), id="metrics"),
    pytest.param(["--metrics", "[::]:9"], "metrics", ("::", 9), id="metrics elsewhere"),
    pytest.param(["--log-format", "json"], "log_format", "json", id="log"),
    pytest.param(["--mcp"], "mcp", True, id="mcp"),
]


@pytest.mark.parametrize(("flags", "field", "value"), SETTINGS)
def test_a_flag_and_its_variable_set_the_same_field(flags, field, value):
    flag, *values = flags
    variable = "PALIGEMMA_" + flag.removeprefix("--").upper().replace("-", "_")
    assert value != getattr(Settings(), field)
    assert getattr(parse_settings(flags, {}), field) == value
    assert parse_settings([], {variable: "".join(values) or "yes"}) == parse_settings(flags, {})


def test_every_setting_has_a_row():
    assert {row.values[1] for row in SETTINGS} == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize(("word", "on"), [("1", True), ("Yes", True), ("false", False), ("no", False)])
def test_a_switch_takes_words(word, on):
    assert parse_settings(["--share", word], {}).share is on
    assert parse_settings([], {"PALIGEMMA_SHARE": word}).share is on


def test_a_flag_beats_its_variable():
    assert parse_settings(["--port", "1"], {"PALIGEMMA_PORT": "2"}).port == 1
    assert parse_settings(["--share", "off"], {"PALIGEMMA_SHARE": "on"}).share is False


def test_an_empty_variable_is_as_if_it_were_not_there():
    assert parse_settings([], {"PALIGEMMA_PORT": "", "PALIGEMMA_DTYPE": ""}) == Settings()


@pytest.mark.parametrize(
    ("flags", "variables", "part"),
    [
        pytest.param(["--port", "0"], {}, "from 1 to 65535", id="port zero"),
        pytest.param(["--port", "65536"], {}, "from 1 to 65535", id="port too high"),
        pytest.param(["--port", "x"], {}, "from 1 to 65535", id="port is a word"),
        pytest.param(["--device", "tpu"], {}, "cuda:N", id="unknown device"),
        pytest.param(["--device", "cpu:1"], {}, "cuda:N", id="second CPU"),
        pytest.param(["--model", " , "], {}, "at least one model", id="no model"),
        pytest.param(["--auth", "name"], {}, "USER:PASSWORD", id="no password"),
        pytest.param(["--max-upload-mb", "nan"], {}, "above 0", id="not a number"),
        pytest.param(["--max-upload-mb", "inf"], {}, "above 0", id="endless uploads"),
        pytest.param(["--max-queue", "-1"], {}, "above 0", id="negative queue"),
        pytest.param(["--max-queue", "9" * 20], {}, "at most 1,000,000,000", id="queue beyond all counting"),
        pytest.param(["--deadline", "1e308"], {}, "at most 1,000,000,000", id="longer than a thread can wait"),
        pytest.param(["--port", "9" * 5000], {}, "from 1 to 65535", id="port of 5000 digits"),
        pytest.param(["--dtype", "int8"], {}, "float32", id="unknown dtype"),
        pytest.param(["--trusted-proxy", "everyone"], {}, "10.0.0.0/8", id="a proxy without an address"),
        pytest.param(["--metrics", "yes"], {}, "from 1 to 65535", id="metrics without a port"),
        pytest.param(["--shar"], {}, "--shar", id="abbreviated flag"),
        pytest.param([], {"PALIGEMMA_DTYPE": "int8"}, "PALIGEMMA_DTYPE", id="unknown dtype in the environment"),
        pytest.param([], {"PALIGEMMA_PORT": "x"}, "from 1 to 65535", id="bad port in the environment"),
        pytest.param([], {"PALIGEMMA_SHARE": "maybe"}, "neither yes nor no", id="undecided switch"),
    ],
)
def test_a_value_that_is_not_allowed_ends_with_a_sentence(flags, variables, part, capsys):
    with pytest.raises(SystemExit) as end:
        parse_settings(flags, variables)
    assert end.value.code == 2
    assert part in capsys.readouterr().err


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_settings([], {}).port = 1


def test_nobody_is_given_more_frames_than_the_limit():
    settings = parse_settings(["--max-video-frames", "4"], {})
    assert (settings.video_frames, settings.max_video_frames) == (4, 4)
