"""The command line's words: commands, options and their help."""

import argparse
from collections.abc import Callable
from typing import Any

import jaxanon
from jaxanon import epilogs
from jaxanon.runtime import DEVICES


def parser(commands: dict[str, Callable]) -> argparse.ArgumentParser:
    """Builds the parser; each command's function goes into `run`.

    Args:
        commands: "anonymize", "detect", "demo", "info", "convert", "live".
    """
    main = argparse.ArgumentParser(
        prog="jaxanon",
        description="Gives every person in photos and videos a new, non-existent face.",
        epilog=epilogs.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    main.add_argument(
        "--version", action="version", version=f"jaxanon {jaxanon.__version__}"
    )
    subparsers = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, epilog: str = "") -> argparse.ArgumentParser:
        command = subparsers.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=commands[name])
        return command

    _add_anonymize(
        add("anonymize", "give faces in files new faces", epilogs.anonymize())
    )
    _add_detect(add("detect", "write the faces found, for --detections"))
    _add_demo(add("demo", "anonymise a picture that comes with jaxanon"))
    _add_info(add("info", "show versions, devices, detectors and weights"))
    _add_convert(add("convert", "turn a published checkpoint into a weights file"))
    _add_live(add("live", "anonymise a camera or stream as it comes"))
    _add_donors(add("donors", "make or show a bank of people who agreed to be shown"))
    return main


def _add_anonymize(command: argparse.ArgumentParser) -> None:
    _add_inputs(command)
    command.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="a file for one input file (its suffix may ask for another format), "
        "otherwise a folder, in which folders are mirrored",
    )
    _add_hiding(command)
    command.add_argument(
        "--detections",
        metavar="FILE",
        help="hide exactly the faces in this file, as `jaxanon detect` writes it",
    )
    command.add_argument(
        "--manifest", metavar="FILE", help="write what was done, as JSON"
    )
    command.add_argument(
        "--keep-metadata",
        action="store_true",
        help="keep EXIF with its place, XMP, IPTC and comments; never a thumbnail",
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace outputs that exist"
    )
    command.add_argument(
        "--c2pa",
        nargs=2,
        metavar=("CERT", "KEY"),
        help="sign what was painted with this certificate and key (PEM), as Content "
        "Credentials",
    )
    _add_video(command)
    _add_common(command)


def _add_detect(command: argparse.ArgumentParser) -> None:
    _add_inputs(command)
    command.add_argument("-o", "--out", required=True, metavar="FILE.json")
    _add_finding(command)
    command.add_argument("--overwrite", action="store_true", help="replace the file")
    _add_common(command)


def _add_demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--out", default="jaxanon-demo", metavar="DIR", help="(%(default)s)"
    )
    _add_hiding(command)
    command.add_argument("--overwrite", action="store_true", help="replace the files")
    command.set_defaults(max_pixels=None)
    _add_output(command)


def _add_info(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", choices=DEVICES)
    command.add_argument("--json-lines", action="store_true", help="print JSON")


def _add_convert(command: argparse.ArgumentParser) -> None:
    command.add_argument("checkpoint", metavar="CHECKPOINT")
    command.add_argument("-o", "--out", required=True, metavar="FILE.safetensors")
    command.add_argument("--overwrite", action="store_true", help="replace the file")


def _add_live(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "input",
        nargs="?",
        default="0",
        metavar="INPUT",
        help="number of a camera, a stream's address, or - for standard input (0)",
    )
    command.add_argument(
        "-o", "--out", metavar="OUT", help="file, or - for standard output (a window)"
    )
    command.add_argument("--overwrite", action="store_true", help="replace the file")
    _add_hiding(command)
    _add_video(command)
    _add_output(command)


def _add_donors(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="make a bank from photos")
    make.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="files, of one person, or folders, each of one person",
    )
    make.add_argument("-o", "--out", required=True, metavar="FILE.bank")
    make.add_argument(
        "--statement",
        required=True,
        metavar="TEXT",
        help="in which words they agreed to be shown; it is kept in the bank",
    )
    make.add_argument("--overwrite", action="store_true", help="replace the file")
    make.add_argument("--device", default="auto", choices=DEVICES)
    make.set_defaults(detector="centerface")
    listing = actions.add_parser("list", help="print who is in a bank")
    show = actions.add_parser("show", help="draw a sheet of all donors")
    for action in (listing, show):
        action.add_argument(
            "bank", nargs="?", metavar="FILE.bank", help="(the one that ships)"
        )
    show.add_argument("-o", "--out", required=True, metavar="SHEET.png")
    show.add_argument("--overwrite", action="store_true", help="replace the file")


def _add_inputs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "input", nargs="+", metavar="INPUT", help="files, folders, or quoted globs"
    )


def _add_finding(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--detector", default="centerface", metavar="NAME", help="(%(default)s)"
    )
    command.add_argument(
        "--score",
        type=_number("score", 0.0, 1.0),
        metavar="F",
        help="confidence from which a detection is a face; less finds more",
    )


def _add_hiding(command: argparse.ArgumentParser) -> None:
    _add_finding(command)
    command.add_argument(
        "--mode",
        choices=("generate", "black", "blur", "pixelate"),
        default="generate",
        help="new faces, or black, blurred or pixelated ones; only generate and black "
        "let nothing of a face through (%(default)s)",
    )
    command.add_argument(
        "--seed", type=_seed, metavar="N", help="draw the same faces again (see below)"
    )
    command.add_argument(
        "--keypoints",
        choices=("all", "pose"),
        default="all",
        help="pose leaves out the mouth, and with it the expression (%(default)s)",
    )
    command.add_argument(
        "--mask-scale",
        type=_number("mask scale", 1.0, 4.0),
        metavar="F",
        help="size of the hidden region, in sizes of the detected box",
    )
    command.add_argument(
        "--truncation",
        type=_number("truncation", 0.0, 4.0),
        metavar="F",
        help="less than 1 gives more ordinary faces",
    )
    command.add_argument(
        "--weights",
        default="default",
        metavar="NAME|FILE",
        help="the generator: shipped weights or a .safetensors file (%(default)s)",
    )
    command.add_argument(
        "--donors",
        metavar="FILE.bank",
        help="paint with the faces of this bank, see `jaxanon donors make`",
    )
    command.add_argument(
        "--no-mark",
        dest="mark",
        action="store_false",
        help="do not say in painted files that they are (IPTC's DigitalSourceType)",
    )


def _add_video(command: argparse.ArgumentParser) -> None:
    video = command.add_argument_group("videos")
    video.add_argument("--audio", choices=("drop", "keep"), default="drop")
    video.add_argument("--start", type=_seconds, metavar="TIME", help="s or h:m:s")
    video.add_argument("--end", type=_seconds, metavar="TIME", help="s or h:m:s")
    video.add_argument(
        "--identity",
        choices=("track", "frame"),
        default="track",
        help="one new face per person and shot, or a new one in every frame "
        "(%(default)s)",
    )
    video.add_argument(
        "--preview", type=_seconds, metavar="N", help="only the first N seconds"
    )
    video.add_argument("--codec", metavar="NAME", help="such as h264, hevc, vp9, av1")
    video.add_argument("--crf", type=int, metavar="N", help="quality; less is better")
    video.add_argument(
        "--detect-every",
        type=int,
        default=1,
        metavar="N",
        help="look for faces in every Nth frame only and track between (%(default)s)",
    )
    video.add_argument(
        "--resume",
        action="store_true",
        help="keep what is done when interrupted, and go on with it when the same "
        "command runs again; see below",
    )


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="refuse pictures with more pixels, undecoded (200000000)",
    )
    _add_output(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", default="auto", choices=DEVICES, help="(%(default)s)"
    )
    loudness = command.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing but errors"
    )
    loudness.add_argument(
        "--json-lines",
        action="store_true",
        help="print one JSON object per file and one for the whole",
    )


def _number(name: str, low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{name} {text!r} is not a number in {low} to {high}"
            )
        return value

    return parse


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f"seed {text!r} is not a whole number in 0 to {2**32 - 1}"
        )
    return int(text)


def _seconds(text: str) -> float:
    """Reads "90", "1:30" or "0:01:30.5"."""
    try:
        parts: list[Any] = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(not 0 <= part < 1e9 for part in parts):
        raise argparse.ArgumentTypeError(f"time {text!r} is not like 90, 1:30, 0:01:30")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total
