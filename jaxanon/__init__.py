"""Gives every person in a photo or video a new, non-existent face.

    import jax, jaxanon
    model, detector = jaxanon.load("default"), jaxanon.make_detector("centerface")
    anonymous = jaxanon.anonymize(photo, model, detector, key=jax.random.key(0))

Importing this touches no device, file or network; the parts are loaded when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxanon.detect import make as make_detector  # noqa: F401
    from jaxanon.detect import names as detector_names  # noqa: F401
    from jaxanon.errors import ConfigError as ConfigError
    from jaxanon.errors import DetectorError as DetectorError
    from jaxanon.errors import JaxanonError as JaxanonError
    from jaxanon.errors import MediaError as MediaError
    from jaxanon.errors import WeightsError as WeightsError
    from jaxanon.pipeline import FaceReport as FaceReport
    from jaxanon.pipeline import Options as Options
    from jaxanon.pipeline import Result as Result
    from jaxanon.pipeline import anonymize as anonymize
    from jaxanon.pipeline import face_keys as face_keys
    from jaxanon.pipeline import run as run
    from jaxanon.seek import complete_keypoints as complete_keypoints
    from jaxanon.types import KEYPOINTS as KEYPOINTS
    from jaxanon.types import Condition as Condition
    from jaxanon.types import Crops as Crops
    from jaxanon.types import Detections as Detections
    from jaxanon.weights import Weights as Weights
    from jaxanon.weights import load as load

_HOMES = {
    "errors": "ConfigError DetectorError JaxanonError MediaError WeightsError",
    "seek": "complete_keypoints",
    "pipeline": "FaceReport Options Result anonymize face_keys run",
    "types": "KEYPOINTS Condition Crops Detections",
    "weights": "Weights load",
}
_PUBLIC = {
    name: (home, name) for home, names in _HOMES.items() for name in names.split()
}
_PUBLIC |= {"make_detector": ("detect", "make"), "detector_names": ("detect", "names")}

__all__ = [*sorted(_PUBLIC), "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Loads a public name from where it lives, at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jaxanon' has no attribute {name!r}")
    home, its_name = _PUBLIC[name]
    value = getattr(importlib.import_module(f"jaxanon.{home}"), its_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names too that are not loaded yet."""
    return sorted({*globals(), *_PUBLIC})
