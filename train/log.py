"""What people watch: a progress bar, JSON lines, TensorBoard, grids and a report."""

import html
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm


class Log:
    """Writes the log of one run into its workdir; silent in all but one process."""

    def __init__(self, workdir: Path, total_images: int, images: int, *, main: bool):
        self.workdir, self.main = workdir, main
        self.images, self.since = images, time.monotonic()
        self.bar = tqdm(
            total=total_images,
            initial=images,
            unit="img",
            disable=not main,
            dynamic_ncols=True,
            mininterval=1.0,
            file=sys.stderr,
            smoothing=0.1,
        )
        self.board = _open_tensorboard(workdir / "tensorboard") if main else None

    def say(self, text: str) -> None:
        """Tells the user something."""
        if self.main:
            self.bar.write(text, file=sys.stderr)

    def advance(self, images: int) -> None:
        """Moves the progress bar."""
        self.bar.update(images - self.bar.n)

    def scalars(self, images: int, values: Mapping[str, float]) -> None:
        """Writes numbers, with images/s since the last call."""
        if not self.main:
            return
        now = time.monotonic()
        speed = (images - self.images) / max(now - self.since, 1e-9)
        self.images, self.since = images, now
        line = {"images": images, "time": round(time.time(), 1)}
        line |= {"images_per_second": round(speed, 2)}
        line |= {name: float(f"{value:.6g}") for name, value in values.items()}
        with open(self.workdir / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        self.bar.set_postfix_str(
            " ".join(f"{n}={v:.3g}" for n, v in values.items() if n.endswith("_loss"))
        )
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(name, value, images)

    def grid(self, images: int, picture: np.ndarray) -> None:
        """Writes a picture of samples, uint8 [h w 3]."""
        if not self.main:
            return
        folder = self.workdir / "samples"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{images:010d}.png")
        if self.board:
            self.board.add_image("samples", picture, images, dataformats="HWC")

    def close(self) -> None:
        """Ends the bar and writes the report."""
        self.bar.close()
        if self.board:
            self.board.close()
        if self.main:
            write_report(self.workdir)


def make_grid(columns: Sequence[Any]) -> np.ndarray:
    """Puts batches of images in [-1, 1] side by side, one column each, as uint8."""
    rows = np.concatenate([np.asarray(c) for c in columns], axis=2)
    rows = rows.reshape(-1, *rows.shape[2:])
    return to_uint8(rows)


def draw_sheet(
    masks: Any, painted: list[np.ndarray], *, columns: int = 12, rows: int = 8
) -> Image.Image:
    """Draws what was painted, one face beside the other, and no pixel of a photo.

    Args:
        masks: ``[n h w 1]``; where they are 1 is what was painted.
        painted: For each latent, the painted crops; neighbours are of one crop.
        columns: Faces in a row.
        rows: Of faces, at most.
    """
    size = masks.shape[1]
    width, height = size * 3 // 4, size
    faces = [images[i] for i in range(len(masks)) for images in painted]
    faces = faces[: columns * rows]
    sheet = Image.new("RGB", (columns * width, -(-len(faces) // columns) * height))
    for number, face in enumerate(faces):
        inside = np.asarray(masks[number // len(painted), ..., 0]) > 0
        down, across = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        region = to_uint8(face)[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        picture = Image.fromarray(region).resize(
            (width, height), Image.Resampling.LANCZOS
        )
        row, column = divmod(number, columns)
        sheet.paste(picture, (column * width, row * height))
    return sheet


def to_uint8(images: Any) -> np.ndarray:
    """Makes pixels of images in [-1, 1]."""
    return np.clip((np.asarray(images) + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """Reads the JSON lines of a run; a line cut short by a crash is skipped."""
    lines = []
    path = workdir / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def write_report(workdir: Path) -> Path:
    """Writes ``report.html``: the config, a curve per number, the grids."""
    lines = read_metrics(workdir)
    names = sorted({name for line in lines for name in line} - {"images", "time"})
    curves = "".join(
        f"<figure><figcaption>{html.escape(name)}: {points[-1][1]:.4g}</figcaption>"
        f"{draw_curve(points)}</figure>"
        for name in names
        if (points := [(x["images"], x[name]) for x in lines if name in x])
    )
    grids = sorted((workdir / "samples").glob("*.png"))
    shown = sorted({*grids[:: max(1, len(grids) // 5)], *grids[-1:]})
    pictures = "".join(
        f"<h3>{int(file.stem):,} images</h3><img src='samples/{file.name}'>"
        for file in shown
    )
    config = workdir / "config.json"
    text = html.escape(config.read_text()) if config.is_file() else ""
    images = int(lines[-1]["images"]) if lines else 0
    path = workdir / "report.html"
    path.write_text(
        "<!doctype html><meta charset='utf-8'><title>Training report</title>"
        "<style>body{font:15px sans-serif;margin:2em}figure{display:inline-block;"
        "margin:.5em}img{max-width:100%}svg{border:1px solid #ccc}</style>"
        f"<h1>Training report</h1><p>{images:,} images seen.</p><h2>Curves</h2>{curves}"
        f"<h2>Samples</h2>{pictures}<h2>Config</h2><pre>{text}</pre>\n"
    )
    return path


def draw_curve(points: list[tuple[float, float]]) -> str:
    """Draws a curve as SVG, from its lowest to its highest value."""
    x, y = np.array(points, float).T
    x = (x - x.min()) / max(np.ptp(x), 1e-12) * 300
    low, high = y.min(), y.max()
    y = 95 - (y - low) / max(high - low, 1e-12) * 90
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        "<svg width='300' height='100'><polyline fill='none' stroke='#06c' points='"
        f"{path}'/><text x='3' y='12' font-size='10'>{high:.4g}</text>"
        f"<text x='3' y='97' font-size='10'>{low:.4g}</text></svg>"
    )


def _open_tensorboard(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
