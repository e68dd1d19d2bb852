"""One video in, one anonymised video out, as a stream.

Decoding, looking for faces, painting and encoding run beside each other, a few frames
apart, so that memory does not grow with the length. Every frame goes through the
pipeline of pictures: its faces are erased before anything is painted.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jaxanon
from jaxanon import frames, hide, pipeline, resume, seeds, stages, track
from jaxanon.detect import Detector
from jaxanon.detect.json_format import FileDetections, FrameDetections
from jaxanon.errors import MediaError
from jaxanon.frames import DEFAULTS, Tools
from jaxanon.frames import VideoOptions as VideoOptions
from jaxanon.media import codecs, encode, mark
from jaxanon.media import video as reader
from jaxanon.weights import Weights

Report = dict[str, Any]
Progress = Callable[..., None]


def anonymize_video_file(
    source: Path,
    target: Path,
    *,
    seed: int | None = None,
    weights: Weights | None,
    detector: Detector | None = None,
    keypointer: Weights | None = None,
    glance: Detector | None = None,
    options: pipeline.Options = pipeline.DEFAULTS,
    video: VideoOptions = DEFAULTS,
    detections: FileDetections | None = None,
    marking: mark.Marking = mark.DEFAULT,
    progress: Progress | None = None,
) -> Report:
    """Anonymises a video file; the result appears whole or not at all.

    Args:
        source: The video.
        target: Where the result goes; its suffix names the container.
        seed: Of the faces; None draws a secret one.
        weights: Of a generator; None will do for modes other than "generate".
        detector: Finds the faces; not needed with `detections`.
        keypointer: Weights of the keypoint network, for what the detector lacks.
        glance: A quicker detector for most frames; the other one searches now and
            then, and beside every cut.
        options: How faces are found and hidden.
        video: What only videos have.
        detections: The faces of each frame, found before or elsewhere. They are tracked
            like those of a detector, so that gaps are filled.
        marking: How a video in which a face was painted says so.
        progress: Is told of each frame, and of how many there are.

    Returns:
        What was done, ready for JSON: see `jaxanon.manifest`.

    Raises:
        MediaError: The video cannot be read or written; nothing is left behind.
    """
    begun = time.perf_counter()
    source, target = Path(source), Path(target)
    tools = Tools(weights, detector, keypointer, options, glance)
    sha256 = seeds.hash_file(source)
    info = reader.probe(source)
    notes, before = list(info.notes), mark.find(source)
    target = _writable(target, notes)
    if marking.signer:
        marking.signer.check(target, target.suffix.lower())
    if info.has_audio and video.audio == "drop":
        notes.append("the sound is dropped, because a voice tells who is speaking.")
    key = seeds.base_key(seed)
    work = None
    if video.resume:
        settings = {
            "version": jaxanon.__version__,
            "input": sha256,
            "target": target.suffix.lower(),
            "seed": seed,
            "weights": weights and weights.sha256,
            "donors": weights and weights.cast and weights.cast.bank.sha256,
            "keypointer": keypointer and keypointer.sha256,
            "looks": [detector, glance, detections],
            "options": [options, video, resume.PART_FRAMES],
        }
        work = resume.open_work(target, settings, key)
        if work.frames:
            notes.append(f"went on after {work.frames} frames of an unfinished run.")
    record = hide.Record(info)
    tags, finish = _mark(target.suffix.lower(), tools, record, marking)
    job = _Job(source, target, info, tools, video, key, detections, tags, finish, [])
    notes += encode.notes(target, info, job.coding, job.sound)
    count = (
        _write(job, record, progress)
        if work is None
        else _go_on(job, record, progress, work)
    )
    marks = mark.describe(before, target, marking, painted=record.is_painted)
    return {
        "input": str(source),
        "output": str(target),
        "input_sha256": sha256,
        "output_sha256": seeds.hash_file(target),
        "width": info.width,
        "height": info.height,
        "frames": count,
        "tracks": record.describe(),
        "notes": [*notes, *job.late_notes, *record.notes(), *marks],
        "seconds": round(time.perf_counter() - begun, 3),
    }


class _Job(NamedTuple):
    """What is done to one video."""

    source: Path
    target: Path
    info: reader.Info
    tools: Tools
    video: VideoOptions
    key: Any
    detections: FileDetections | None
    tags: dict[str, str]
    finish: Callable[[Path], None]
    late_notes: list[str]
    """What is found out while the video is read."""

    def read(self) -> Iterator[reader.Frame]:
        """Reads the part that is asked for."""
        start, end = self.span
        return reader.read(
            self.source,
            start_seconds=start,
            end_seconds=end,
            info=self.info,
            notes=self.late_notes,
        )

    @property
    def span(self) -> encode.Span:
        return self.video.span(self.info)

    @property
    def coding(self) -> encode.Coding:
        """How it is encoded."""
        video = self.video
        return encode.Coding(video.codec, video.crf, self.span, self.tags, self.finish)

    @property
    def sound(self) -> Path | None:
        keeps = self.video.audio == "keep" and self.info.has_audio
        return self.source if keeps else None


def _mark(suffix: str, tools: Tools, record: hide.Record, marking: mark.Marking):
    """Gives the header's tags, and what marks or clears a video that is whole."""
    is_painting = marking.is_marked and tools.options.mode == "generate"

    def finish(part: Path) -> None:
        if record.is_painted:
            marking.finish(part, suffix)
        elif is_painting and suffix in (".mkv", ".webm"):
            mark.take_tags_out(part)

    return (mark.TAGS if is_painting else {}), finish


def _write(job: _Job, record: hide.Record, progress: Progress | None) -> int:
    """Anonymises a video in one go; returns the number of frames."""
    info, tools, video = job.info, job.tools, job.video
    with stages.Line() as line:
        decoded = line.ahead(job.read())
        seen = line.ahead(frames.see(decoded, info, tools, video, job.detections))
        painted = line.ahead(hide.paint(seen, tools, video, job.key, record))
        told = _tell(painted, info, job.span, progress)
        return encode.write(job.target, told, info, job.coding, audio_from=job.sound)


def _go_on(job: _Job, record: hide.Record, progress, work: resume.Work) -> int:
    """Anonymises in parts that outlive an interruption; returns the number of frames.

    Painting and encoding take turns here: at the end of a part, the record is to know
    of its frames and of no other.
    """
    info, tools, video = job.info, job.tools, job.video
    record.restore(work.notes())
    try:
        with stages.Line() as line:
            decoded = line.ahead(job.read())
            found = frames.see(
                decoded, info, tools, video, job.detections, recall=work.look
            )
            painted = hide.paint(
                line.ahead(found), tools, video, work.key, record, skip=work.frames
            )
            told = _tell(painted, info, job.span, progress, begin=work.frames)

            def encode_part(part):
                return encode.encode_part(job.target, part, info, job.coding)

            work.add(told, encode_part, record.state)
        count = encode.join(
            job.target, work.packets(), info, job.coding, audio_from=job.sound
        )
    finally:
        if not work.parts:
            work.clear()
    work.clear()
    return count


def detect_video_file(
    source: Path,
    *,
    detector: Detector,
    keypointer: Weights | None = None,
    glance: Detector | None = None,
    options: pipeline.Options = pipeline.DEFAULTS,
    progress: Progress | None = None,
    people: set[int] | None = None,
) -> FileDetections:
    """Finds the faces of each frame of a video, unsure ones too.

    Given to `anonymize_video_file` they lead to what it would have found itself.

    Args:
        source: The video.
        detector: Finds the faces.
        keypointer: Weights of the keypoint network, for what the detector lacks.
        glance: A quicker detector for most frames.
        options: How faces are found.
        progress: Is told of each frame, and of how many there are.
        people: Is given the number of everybody who would be hidden.

    Raises:
        MediaError: The video cannot be read.
    """
    source = Path(source)
    info = reader.probe(source)
    tools = Tools(None, detector, keypointer, options, glance)
    found = []
    with stages.Line() as line:
        decoded = line.ahead(reader.read(source, info=info))
        seen = frames.see(decoded, info, tools, DEFAULTS, None)
        told = _tell(seen, info, encode.WHOLE, progress)
        settled = hide.rules(info, tools, DEFAULTS)
        for item in track.follow(_noted(told, info, found), settled):
            if people is not None:
                people.update(item.ids.tolist())
    return FileDetections(info.width, info.height, frames=tuple(found))


def live(
    source: str,
    sink: str | None = None,
    *,
    seed: int | None = None,
    weights: Weights | None,
    detector: Detector,
    keypointer: Weights | None = None,
    glance: Detector | None = None,
    options: pipeline.Options = pipeline.DEFAULTS,
    video: VideoOptions = DEFAULTS,
    marking: mark.Marking = mark.DEFAULT,
) -> int:
    """Anonymises a camera or a pipe as it comes, without knowing what comes next.

    Args:
        source: The number of a camera, an address, or ``-`` for standard input.
        sink: A file, ``-`` for standard output (Matroska), or None for a window.
        seed: Of the faces; None draws a secret one.
        weights: Of a generator; None will do for modes other than "generate".
        detector: Finds the faces.
        keypointer: Weights of the keypoint network, for what the detector lacks.
        glance: A quicker detector for most frames; the other one searches now and
            then, and beside every cut.
        options: How faces are found and hidden.
        video: Its ``identity``, ``detect_every``, ``preview``, ``codec`` and ``crf``.
        marking: How the result says that faces are painted; a pipe says so of every
            stream whose faces are to be.

    Returns:
        0.

    Raises:
        MediaError: The source cannot be read or the sink not be written.
        ConfigError: An option is for files only.
    """
    from jaxanon import live as streams

    video.check_live()
    tools = Tools(weights, detector, keypointer, options, glance)
    info, coming = streams.open_source(source)
    key, record = seeds.base_key(seed), hide.Record(info)
    with stages.Line() as line:
        # A camera doesn't wait; what cannot be painted in time is left out.
        arriving = line.latest(coming) if source.isdecimal() else line.ahead(coming)
        seen = frames.see(arriving, info, tools, video, None, is_live=True)
        painted = hide.paint(seen, tools, video, key, record, is_live=True)
        suffix = Path(sink or "").suffix.lower()
        coding = encode.Coding(
            video.codec, video.crf, encode.WHOLE, *_mark(suffix, tools, record, marking)
        )
        streams.show(_until(painted, info, video.preview), info, sink, coding)
    return 0


def _noted(seen, info: reader.Info, found: list[FrameDetections]):
    """Notes down what was found, and lets the pictures go."""
    for item in seen:
        seconds = float(item.payload.pts * info.time_base)
        found.append(FrameDetections(seconds, item.detections))
        yield item._replace(payload=None)


def _writable(target: Path, notes: list[str]) -> Path:
    """Gives a target of a kind that is read and not written the suffix .mp4."""
    if target.suffix.lower() in codecs.CONTAINERS:
        return target
    if target.suffix.lower() not in reader.SUFFIXES:
        return target  # Refused by the encoder, which says what there is.
    other = target.with_suffix(".mp4")
    if other.exists():
        raise MediaError(f"{other}: exists, and {target.suffix} cannot be written.")
    notes.append(f"{target.suffix} cannot be written; the result is {other.name}.")
    return other


def _tell(
    items: Iterable[Any], info: reader.Info, span: encode.Span, progress, begin: int = 0
):
    """Hands items through and counts them to whoever watches; some are done before."""
    total = info.frames
    if total and info.duration_seconds:
        end = min(span.end_seconds or info.duration_seconds, info.duration_seconds)
        share = max(end - span.start_seconds, 0) / info.duration_seconds
        total = max(round(total * share), 1)
    if begin and progress is not None:
        progress(begin, total)
    for item in items:
        if progress is not None:
            progress(1, total)
        yield item


def _until(painted, info: reader.Info, seconds: float | None):
    first = None
    for frame in painted:
        first = frame.pts if first is None else first
        if seconds is not None and (frame.pts - first) * info.time_base >= seconds:
            return
        yield frame
