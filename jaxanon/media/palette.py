"""Pictures with 256 colours of their own, for GIF."""

from typing import Any

import av
import av.filter
import numpy as np

from jaxanon.media import video


class Palette:
    """Finds 256 colours for each picture of a GIF."""

    def __init__(self, info: video.Info):
        graph = av.filter.Graph()
        self._graph = graph
        self._source = graph.add_buffer(
            width=info.width,
            height=info.height,
            format=av.VideoFormat("rgba" if info.has_alpha else "rgb24"),
            time_base=info.time_base,
        )
        split = graph.add("split")
        one = int(info.has_alpha)
        find = graph.add("palettegen", f"stats_mode=single:reserve_transparent={one}")
        use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
        self._source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(find, 1, 0)
        find.link_to(use, 0, 1)
        use.link_to(graph.add("buffersink"))
        graph.configure()

    def __call__(self, frame: video.Frame) -> Any:
        """Makes a frame for the encoder."""
        planes = [frame.pixels]
        if frame.alpha is not None:
            planes.append(frame.alpha[..., None])
        pixels = np.concatenate(planes, -1)
        eight_bits = pixels if pixels.dtype == np.uint8 else (pixels >> 8)
        name = "rgb24" if frame.alpha is None else "rgba"
        picture = av.VideoFrame.from_ndarray(eight_bits.astype(np.uint8), name)
        picture.pts = frame.pts
        self._graph.push(picture)
        return self._graph.pull()
