"""Where live pictures come from and go to: cameras, pipes, files, a window."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxanon.errors import MediaError
from jaxanon.media import encode, video

_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


def open_source(source: str) -> tuple[video.Info, Iterator[video.Frame]]:
    """Opens a camera by its number, standard input by ``-``, or an address.

    Raises:
        MediaError: There is no such thing, or it gives no pictures.
    """
    if source == "-":
        try:
            return video.read_live(sys.stdin.buffer)
        except MediaError as error:
            raise MediaError(
                f"{error} (A pipe carries Matroska, MPEG-TS and the like; an MP4 has "
                "its index at the end.)"
            ) from error
    if not source.isdecimal():
        # A file's name may look like an address; its whole path does not.
        path = Path(source)
        return video.read_live(str(path.absolute()) if path.exists() else source)
    if sys.platform not in _CAMERAS:
        raise MediaError(
            f"Camera {source}: on {sys.platform} cameras are opened through a pipe; "
            "give - and let another program write to it."
        )
    name, address = _CAMERAS[sys.platform]
    return video.read_live(address.format(source), format=name)


def show(
    frames: Iterable[video.Frame],
    info: video.Info,
    sink: str | None,
    coding: encode.Coding,
) -> None:
    """Shows frames in a window, or writes them to a file or to standard output.

    Args:
        frames: Anonymised.
        info: Of the source.
        sink: A file, ``-``, or None for a window.
        coding: How the frames become a video.
    """
    if sink is None:
        _show_window(frames)
    elif sink == "-":
        crf = 23 if coding.crf is None else coding.crf
        encode.write_live(sys.stdout.buffer, frames, info, crf=crf, tags=coding.tags)
    else:
        encode.write(Path(sink), frames, info, coding)


def _show_window(frames: Iterable[video.Frame]) -> None:
    try:
        import tkinter

        window = tkinter.Tk()
    except (ImportError, RuntimeError) as error:
        raise MediaError(f"No window can be opened ({error}); give -o.") from error
    except Exception as error:  # TclError, known only once Tk is imported.
        raise MediaError(f"No window can be opened ({error}); give -o.") from error
    window.title("jaxanon")
    label = tkinter.Label(window)
    label.pack()
    closed = []
    window.protocol("WM_DELETE_WINDOW", lambda: closed.append(True))
    for frame in frames:
        pixels = frame.pixels if frame.pixels.itemsize == 1 else frame.pixels >> 8
        height, width = pixels.shape[:2]
        header = f"P6 {width} {height} 255\n".encode()
        picture = tkinter.PhotoImage(
            data=header + pixels.astype("uint8").tobytes(), format="PPM"
        )
        label.configure(image=picture)
        window.update()
        if closed:
            break
    window.destroy()
