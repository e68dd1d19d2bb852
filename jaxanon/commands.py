"""What each command does: loads what it needs once, then goes file by file."""

import json
from pathlib import Path
from typing import Any

from jaxanon import console, loading, runtime
from jaxanon.errors import MediaError


def _anonymize(args: Any) -> int:
    from jaxanon import inputs

    planned = inputs.plan(args.input, args.out, overwrite=args.overwrite)
    inputs.check_output(
        args.manifest,
        "--manifest",
        overwrite=args.overwrite,
        inputs=_read_by(args, planned),
        outputs=[job.target for job in planned.jobs if job.target is not None],
    )
    told = _console(args)
    tools = given = marking = None
    written: list[Path] = []
    if planned.jobs:
        given, marking = _read_detections(args), _marking(args)
        tools = loading.load(
            args, is_detecting=given is None, has_video=_has_video(planned)
        )
    is_complete = False
    try:
        told.each(
            planned,
            lambda job, advance: _anonymize_next(
                args, tools, marking, given, job, advance, written
            ),
        )
        is_complete = True
    finally:
        if args.manifest and tools:
            _write_manifest(args, tools, told, is_complete)
    return told.finish()


def _anonymize_next(
    args, tools, marking, given, job, advance, written
) -> dict[str, Any]:
    """Does one file, unless its output has come to be in the meantime.

    That may be another file's output, where names differ in capitals only and the
    place takes those for the same.
    """
    from jaxanon import inputs

    if any(job.target.exists() and job.target.samefile(path) for path in written):
        raise MediaError(f"{job.source}: output {job.target} is another input's.")
    if why := inputs.reason_not_to_write(job.target, overwrite=args.overwrite):
        raise MediaError(f"{job.source}: output {why}")
    report = _anonymize_one(args, tools, marking, given, job, advance)
    written.append(Path(report["output"]))
    if job.note:
        report["notes"].append(job.note)
    return report


def _anonymize_one(args, tools, marking, given, job, advance) -> dict[str, Any]:
    from jaxanon import files

    given = None if given is None else files.look_up(given, job.source)
    common: dict[str, Any] = {
        "marking": marking,
        "weights": tools.weights,
        "detector": tools.detector,
        "keypointer": tools.keypointer,
        "options": tools.options,
    }
    if job.kind == "video":
        from jaxanon import clips

        return clips.anonymize_video_file(
            job.source,
            job.target,
            **common,
            glance=tools.glance,
            detections=given,
            seed=args.seed,
            video=_video_options(args),
            progress=advance,
        )
    return files.anonymize_image_file(
        job.source,
        job.target,
        **common,
        given=given,
        key=tools.key,
        keep_metadata=args.keep_metadata,
        **_max_pixels(args),
    )


def _detect(args: Any) -> int:
    from jaxanon import inputs

    planned = inputs.plan(args.input)
    inputs.check_output(
        args.out, "-o", overwrite=args.overwrite, inputs=_read_by(args, planned)
    )
    told = _console(args)
    tools, found = None, {}
    if planned.jobs:
        tools = loading.load(args, is_painting=False, has_video=_has_video(planned))

    def do(job, advance):
        people: set[int] = set()
        entry = _detect_one(args, tools, job, advance, people)
        found[str(job.source)] = entry
        report = {"input": str(job.source), "width": entry.width}
        report |= {"height": entry.height}
        if entry.faces is not None:
            report["faces"] = entry.faces.boxes.tolist()
        else:
            report["tracks"] = [{"id": number} for number in sorted(people)]
            counts = [len(frame.faces.boxes) for frame in entry.frames]
            report |= {"frames": len(counts), "faces_in_frames": sum(counts)}
        return report

    told.each(planned, do)
    if found:
        from jaxanon.detect import json_format

        json_format.write(Path(args.out), found)
    return told.finish()


def _detect_one(args, tools, job, advance, people) -> Any:
    from jaxanon import files

    common: dict[str, Any] = {
        "detector": tools.detector,
        "keypointer": tools.keypointer,
    }
    if job.kind == "video":
        from jaxanon import clips

        return clips.detect_video_file(
            job.source,
            **common,
            glance=tools.glance,
            options=tools.options,
            progress=advance,
            people=people,
        )
    common |= _max_pixels(args)
    return files.detect_image_file(job.source, **common, score=tools.options.score)


def _read_detections(args: Any) -> Any:
    """Reads --detections; a score asked for applies to them too."""
    if not args.detections:
        return None
    from jaxanon import seek
    from jaxanon.detect import json_format

    given = json_format.read(args.detections)
    if args.score is None:
        return given

    def select(faces):
        return faces and seek.select(faces, score=args.score)

    return {
        name: found._replace(
            faces=select(found.faces),
            frames=found.frames
            and tuple(f._replace(faces=select(f.faces)) for f in found.frames),
        )
        for name, found in given.items()
    }


def _demo(args: Any) -> int:
    from jaxanon import demo, inputs

    for name in demo.NAMES:
        inputs.check_output(Path(args.out) / name, "-o", overwrite=args.overwrite)
    told = _console(args)
    tools = loading.load(args)
    report = demo.run(
        Path(args.out),
        key=tools.key,
        weights=tools.weights,
        detector=tools.detector,
        keypointer=tools.keypointer,
        options=tools.options,
        marking=_marking(args),
    )
    told.finish_file(report)
    for name in demo.NAMES:
        told.tell(f"wrote {Path(args.out) / name}")
    return told.finish()


def _info(args: Any) -> int:
    from jaxanon import info

    described = info.describe(runtime.start(args.device))
    print(json.dumps(described) if args.json_lines else info.to_text(described))
    return 0


def _convert(args: Any) -> int:
    from jaxanon import convert, inputs

    inputs.check_output(
        args.out, "-o", overwrite=args.overwrite, inputs=[args.checkpoint]
    )
    convert.convert(args.checkpoint, args.out)
    print(f"wrote {args.out}")
    return 0


def _live(args: Any) -> int:
    from jaxanon import clips, inputs

    if args.out not in (None, "-"):
        source = "/dev/stdin" if args.input == "-" else args.input
        read = [source.removeprefix("file:"), *_files_of(args)]
        inputs.check_output(args.out, "-o", overwrite=args.overwrite, inputs=read)
    tools = loading.load(args, has_video=True)
    return clips.live(
        args.input,
        args.out,
        weights=tools.weights,
        detector=tools.detector,
        keypointer=tools.keypointer,
        glance=tools.glance,
        options=tools.options,
        seed=args.seed,
        video=_video_options(args),
        marking=_marking(args),
    )


def _donors(args: Any) -> int:
    from jaxanon.donors import bank

    if args.action == "make":
        return _make_donors(args)
    opened = bank.load(args.bank or bank.DEFAULT)
    if args.action == "list":
        for entry in opened.entries:
            print(f"{entry['id']}: {entry['source']}, {entry['licence']}")
        print(f"{len(opened.entries)} pictures; {opened.provenance}")
        return 0
    from jaxanon import inputs
    from jaxanon.media import webp

    inputs.check_output(
        args.out, "-o", overwrite=args.overwrite, inputs=_paths(args.bank)
    )
    pictures = [bank.decode(opened, index) for index in range(len(opened.entries))]
    webp.write_sheet(Path(args.out), pictures)
    print(f"wrote {args.out}")
    return 0


def _paths(*names: str | None) -> list[Path]:
    return [Path(name) for name in names if name]


def _make_donors(args: Any) -> int:
    runtime.start(args.device)
    from jaxanon import detect, inputs, pipeline, weights
    from jaxanon.donors import bank, make

    inputs.check_output(
        args.out, "-o", overwrite=args.overwrite, inputs=_paths(*args.photos)
    )
    made = make.make(
        [Path(photo) for photo in args.photos],
        statement=args.statement,
        detector=detect.make(args.detector),
        keypointer=pipeline.to_device(weights.load("keypointer")),
    )
    bank.save(args.out, made)
    people = {entry["person"] for entry in made.entries}
    print(f"wrote {args.out}: {len(people)} donors on {len(made.entries)} photos")
    return 0


BY_NAME = {
    "anonymize": _anonymize,
    "detect": _detect,
    "demo": _demo,
    "info": _info,
    "convert": _convert,
    "live": _live,
    "donors": _donors,
}


def _has_video(planned: Any) -> bool:
    return any(job.kind == "video" for job in planned.jobs)


def _video_options(args: Any) -> Any:
    from jaxanon import clips

    names = ("audio", "start", "end", "identity", "preview", "codec", "crf")
    given = {name: getattr(args, name) for name in (*names, "detect_every", "resume")}
    return clips.VideoOptions(**given)


def _marking(args: Any) -> Any:
    """Reads how painted files are marked, and the certificate where one is given."""
    from jaxanon.media import mark, sign

    paths = getattr(args, "c2pa", None)
    return mark.Marking(args.mark, sign.load(*map(Path, paths)) if paths else None)


def _max_pixels(args: Any) -> dict[str, Any]:
    return {} if args.max_pixels is None else {"max_pixels": args.max_pixels}


def _console(args: Any) -> console.Console:
    return console.Console(quiet=args.quiet, json_lines=args.json_lines)


def _read_by(args: Any, planned: Any) -> list[Any]:
    """Lists all files that a command reads, those too that it passes over."""
    found = (*planned.jobs, *planned.skipped, *planned.failed)
    return [each.source for each in found] + _files_of(args)


def _files_of(args: Any) -> list[Any]:
    """Lists the files among the options."""
    names = [getattr(args, name, None) for name in ("detections", "weights")]
    return [name for name in names if name and Path(name).is_file()]


def _write_manifest(args, tools, told, is_complete: bool) -> None:
    from jaxanon import manifest

    header = manifest.describe(
        weights=tools.weights,
        keypointer=tools.keypointer,
        options=tools.options,
        seed=args.seed,
        device=tools.device,
    )
    manifest.write(
        Path(args.manifest),
        header,
        files=told.done,
        failed=told.failed,
        skipped=told.skipped,
        is_complete=is_complete,
    )
