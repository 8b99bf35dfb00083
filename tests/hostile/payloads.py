"""What a client may send instead of the values of an endpoint, made by code, each with a name.

`UPLOADED` stands for a picture that was uploaded properly, `UPLOADED_CLIP` for a clip.
"""

from typing import Any

UPLOADED: Any = object()
UPLOADED_CLIP: Any = object()
MARK = {"_type": "gradio.FileData"}
DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]

PICTURES: dict[str, Any] = {
    "nothing": None,
    "a number": 7,
    "yes": True,
    "an empty text": "",
    "a name": "picture.png",
    "a path": "/etc/passwd",
    "a list": ["picture.png"],
    "an empty list": [],
    "an empty object": {},
    "an object of something else": {"url": "x"},
    "lists in lists": DEEP,
    "a path without a mark": {"path": "/etc/passwd"},
    "a mark of another kind": {"path": "x.png", "meta": {"_type": "else"}},
    "a mark that is a text": {"path": "x.png", "meta": "gradio.FileData"},
    "a mark that is a list": {"path": "x.png", "meta": [1]},
    "a mark that is nothing": {"path": "x.png", "meta": None},
    "a path that is a number": {"path": 5, "meta": MARK},
    "a path that is a list": {"path": ["/etc/passwd"], "meta": MARK},
    "a path that is an object": {"path": {"path": "/etc/passwd", "meta": MARK}, "meta": MARK},
    "no path": {"path": None, "meta": MARK},
    "an empty path": {"path": "", "meta": MARK},
    "the server's passwords": {"path": "/etc/passwd", "meta": MARK},
    "the process's memory": {"path": "/proc/self/mem", "meta": MARK},
    "the process's environment": {"path": "/proc/self/environ", "meta": MARK},
    "endless zeros": {"path": "/dev/zero", "meta": MARK},
    "the terminal": {"path": "/dev/stdin", "meta": MARK},
    "the app itself": {"path": "app.py", "meta": MARK},
    "the app's weights": {"path": "assets/paligemma2-demo/model.safetensors", "meta": MARK},
    "a way up": {"path": "../../../../etc/passwd", "meta": MARK},
    "a way up from the uploads": {"path": "/tmp/gradio/../../etc/passwd", "meta": MARK},
    "a way up in percent": {"path": "%2e%2e/%2e%2e/etc/passwd", "meta": MARK},
    "a way up with backslashes": {"path": "..\\..\\windows\\win.ini", "meta": MARK},
    "a null in a path": {"path": "/tmp/x\0.png", "meta": MARK},
    "a line break in a path": {"path": "/tmp/x\n.png", "meta": MARK},
    "a path of 100,000 characters": {"path": "/tmp/" + "x" * 100_000, "meta": MARK},
    "a path of surrogates": {"path": "/tmp/\udc80.png", "meta": MARK},
    "a path in bidi": {"path": "/tmp/\u202egnp.exe", "meta": MARK},
    "a folder": {"path": "/tmp", "meta": MARK},
    "the root": {"path": "/", "meta": MARK},
    "a home": {"path": "~/.ssh/id_rsa", "meta": MARK},
    "a web address": {"path": "http://127.0.0.1:1/x.png", "meta": MARK},
    "a web address in capitals": {"path": "HTTPS://127.0.0.1:1/x.png", "meta": MARK},
    "a web address in disguise": {"path": "http://2130706433/x", "meta": MARK},
    "metadata of a cloud": {"path": "http://169.254.169.254/latest/", "meta": MARK},
    "a file address": {"path": "file:///etc/passwd", "meta": MARK},
    "an FTP address": {"path": "ftp://127.0.0.1/x", "meta": MARK},
    "a web address beside a path": {"path": "/etc/passwd", "url": "http://127.0.0.1:1/x.png", "meta": MARK},
    "a stream": {"path": "/etc/passwd", "is_stream": True, "meta": MARK},
    "a stream that is a text": {"path": "/etc/passwd", "is_stream": "perhaps", "meta": MARK},
    "a proxy": {"path": "x", "url": "/gradio_api/proxy=http://127.0.0.1:1/file=x", "meta": MARK},
    "a size that is a text": {"path": "x.png", "size": "large", "meta": MARK},
    "a name that is a list": {"path": "x.png", "orig_name": [1], "meta": MARK},
    "a data address that is no picture": {"path": "data:text/html;base64,PGI+", "meta": MARK},
    "a data address of rubbish": {
        "url": "data:image/png;base64,!!!!",
        "path": "data:image/png;base64,!!!!",
        "meta": MARK,
    },
    "a data address without a comma": {"path": "data:image/png;base64", "meta": MARK},
    "two pictures": [{"path": "a.png", "meta": MARK}, {"path": "b.png", "meta": MARK}],
    "an update of a component": {"__type__": "update", "value": "/etc/passwd"},
    "a picture as a component's value": {"value": {"path": "/etc/passwd", "meta": MARK}},
}
"""Instead of a picture or a clip."""

VALUES: dict[str, Any] = {
    "nothing": None,
    "yes": True,
    "a number": 7,
    "a fraction": 1.5,
    "a huge number": 10**30,
    "an empty text": "",
    "a text of nulls": "\0\0",
    "a list": [1, "a"],
    "an empty list": [],
    "an object": {"a": {"b": [None]}},
    "an empty object": {},
    "lists in lists": DEEP,
    "a file of the server": {"path": "/etc/passwd", "meta": MARK},
    "HTML": "<script>alert(1)</script>",
    "format fields": "{} {0.__class__} %s",
    "a surrogate": "\ud800",
}
"""Instead of a text, a choice or a switch."""

ENDPOINTS: dict[str, tuple[Any, ...]] = {
    "describe": (UPLOADED, "short", "en", False, ""),
    "answer": (UPLOADED, "what is it?", "en", False, "en", ""),
    "detect": (UPLOADED, "star", False, "en", ""),
    "video": (UPLOADED_CLIP, "describe", "", 1, False, ""),
}
"""Endpoints that have every kind of parameter between them, with values that are right."""

FILES = ("describe", "video")
"""Endpoints that have every kind of file between them."""

LISTS: dict[str, Any] = {
    "no values": [],
    "one value": [None],
    "a hundred values": [None] * 100,
    "values by name": {"image": None},
    "a text for a list": "image",
    "a number for a list": 4,
    "no list": None,
}
"""Instead of the list of values."""
