"""Makes the example clip of the page, `assets/examples/clip.webm`: a camera that slides from scene to scene.

    python -m training.clip

Knows scenes, and how frames become a clip. PyAV comes with the app itself.
"""

from pathlib import Path

import av
import numpy as np

from training.scenes import SIDE, draw, held_out_seed

CLIP = Path(__file__).parent.parent / "assets" / "examples" / "clip.webm"
SCENES = (7, 54, 36)
RATE = 12  # frames a second
REST = 12  # frames on each scene
SLIDE = 3  # frames between two


def frames() -> list[np.ndarray]:
    """The pictures of the clip, in their order."""
    scenes = [draw(held_out_seed(0, number), things=(1, 2), writing=0.0) for number in SCENES]
    strip = np.hstack([np.asarray(scene.image) for scene in scenes])
    made = []
    for place in range(len(SCENES)):
        made += [place * SIDE] * REST
        if place < len(SCENES) - 1:
            made += [place * SIDE + SIDE * step // (SLIDE + 1) for step in range(1, SLIDE + 1)]
    return [np.ascontiguousarray(strip[:, left : left + SIDE]) for left in made]


def write(path: Path = CLIP) -> None:
    """Writes the clip in a form that every browser plays."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=RATE, options={"crf": "30", "b": "0"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for frame in frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    write()
