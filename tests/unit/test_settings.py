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


@pytest.mark.parametrize(
    ("flags", "variables", "field", "value"),
    [
        pytest.param(["--model", "3b"], {"PALIGEMMA_MODEL": "3b"}, "models", ("3b",), id="one model"),
        pytest.param(
            ["--model", "3b, demo,3b"],
            {"PALIGEMMA_MODEL": "3b, demo,3b"},
            "models",
            ("3b", "demo"),
            id="several models",
        ),
        pytest.param(["--device", "cuda:1"], {"PALIGEMMA_DEVICE": "cuda:1"}, "device", "cuda:1", id="second GPU"),
        pytest.param(["--dtype", "float32"], {"PALIGEMMA_DTYPE": "float32"}, "dtype", "float32", id="dtype"),
        pytest.param(["--quantize", "int4"], {"PALIGEMMA_QUANTIZE": "int4"}, "quantize", "int4", id="quantize"),
        pytest.param(["--host", "0.0.0.0"], {"PALIGEMMA_HOST": "0.0.0.0"}, "host", "0.0.0.0", id="host"),
        pytest.param(["--port", "80"], {"PALIGEMMA_PORT": "80"}, "port", 80, id="port"),
        pytest.param(["--share"], {"PALIGEMMA_SHARE": "1"}, "share", True, id="share"),
        pytest.param(["--share", "no"], {"PALIGEMMA_SHARE": "false"}, "share", False, id="no share"),
        pytest.param(["--auth", "a:b:c"], {"PALIGEMMA_AUTH": "a:b:c"}, "auth", ("a", "b:c"), id="colon in password"),
        pytest.param(
            ["--max-upload-mb", "2.5"], {"PALIGEMMA_MAX_UPLOAD_MB": "2.5"}, "max_upload_mb", 2.5, id="upload limit"
        ),
        pytest.param(["--max-queue", "1"], {"PALIGEMMA_MAX_QUEUE": "1"}, "max_queue", 1, id="queue"),
        pytest.param(
            ["--max-per-visitor", "3"], {"PALIGEMMA_MAX_PER_VISITOR": "3"}, "max_per_visitor", 3, id="visitor"
        ),
        pytest.param(["--deadline", "9"], {"PALIGEMMA_DEADLINE": "9"}, "deadline", 9.0, id="deadline"),
        pytest.param(["--hang-seconds", "9"], {"PALIGEMMA_HANG_SECONDS": "9"}, "hang_seconds", 9.0, id="hang"),
        pytest.param(["--drain-seconds", "9"], {"PALIGEMMA_DRAIN_SECONDS": "9"}, "drain_seconds", 9.0, id="drain"),
        pytest.param(
            ["--trusted-proxy", "10.0.0.0/8, ::1"],
            {"PALIGEMMA_TRUSTED_PROXY": "10.0.0.0/8,::1"},
            "trusted_proxy",
            ("10.0.0.0/8", "::1"),
            id="proxies",
        ),
        pytest.param(["--metrics", "9"], {"PALIGEMMA_METRICS": "9"}, "metrics", ("127.0.0.1", 9), id="metrics"),
        pytest.param(
            ["--metrics", "[::]:9"], {"PALIGEMMA_METRICS": "[::]:9"}, "metrics", ("::", 9), id="metrics elsewhere"
        ),
        pytest.param(["--log-format", "json"], {"PALIGEMMA_LOG_FORMAT": "json"}, "log_format", "json", id="log"),
        pytest.param(["--mcp"], {"PALIGEMMA_MCP": "yes"}, "mcp", True, id="mcp"),
    ],
)
def test_a_flag_and_its_variable_set_the_same_field(flags, variables, field, value):
    assert parse_settings(flags, {}) == parse_settings([], variables)
    assert getattr(parse_settings(flags, {}), field) == value


def test_every_documented_flag_has_a_variable_that_is_read():
    flags = [
        "model",
        "device",
        "dtype",
        "quantize",
        "host",
        "port",
        "share",
        "auth",
        "max-upload-mb",
        "max-queue",
        "mcp",
    ]
    for flag in flags:
        variable = "PALIGEMMA_" + flag.upper().replace("-", "_")
        values = {"port": "1", "max-upload-mb": "1", "max-queue": "1", "share": "1", "mcp": "1", "auth": "a:b"}
        values |= {"device": "cpu", "dtype": "float32", "quantize": "int8"}
        assert parse_settings([], {variable: values.get(flag, "x")}) != Settings(), flag


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
