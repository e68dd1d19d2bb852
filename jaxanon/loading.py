"""What the commands load once for all files: networks, detectors and options."""

import threading
from typing import Any, NamedTuple

from jaxanon import runtime
from jaxanon.errors import ConfigError


class Tools(NamedTuple):
    """What is loaded once for all files."""

    weights: Any
    detector: Any
    keypointer: Any
    glance: Any
    """A quicker detector for most frames of a video; None = the same one."""
    options: Any
    key: Any
    device: str


def load(
    args: Any,
    *,
    is_detecting: bool = True,
    is_painting: bool = True,
    has_video: bool = False,
) -> Tools:
    """Starts the device and loads what this run needs, and no more."""
    device = runtime.start(args.device)
    from jaxanon import detect, files, paint, pipeline, weights

    options = _options(args)
    generates = options.mode == "generate"
    generator = keypointer = detector = glance = None
    if generates and is_painting:
        generator = _load_generator(args.weights, getattr(args, "donors", None))
    if is_detecting:
        name = args.detector
        if name == "centerface" and not device.startswith("cpu"):
            name = "centerface_jax"
        detector = detect.make(name)
        if has_video and args.detector == "centerface":
            # Half size finds what fills the frame, which is where a miss hurts most.
            glance = detect.make(name, factors=(1.0, 0.5))
        if generates:
            keypointer = pipeline.to_device(weights.load("keypointer"))
    if generator and detector:
        # Detection leaves Python idle: meanwhile the networks are compiled.
        threading.Thread(
            target=paint.warm_up,
            args=(generator, keypointer),
            kwargs={
                "batch_size": options.batch_size,
                "match_border": options.match_border,
            },
        ).start()
    key = files.base_key(getattr(args, "seed", None))
    return Tools(generator, detector, keypointer, glance, options, key, device)


def _load_generator(name: str, donors: str | None) -> Any:
    """Loads a generator and, where it paints from donors, whom it paints from."""
    from jaxanon import models, pipeline, weights
    from jaxanon.donors import bank, choose

    generator = weights.load(name)
    if not models.is_generator(generator.kind):
        raise ConfigError(f"--weights {name}: not a generator's.")
    if donors is not None:
        if models.latent_kind(generator.config) != "donor":
            raise ConfigError(f"--donors: {name} does not paint from donors.")
        cast = choose.make_cast(bank.load(donors))
        generator = generator._replace(cast=cast)
    return pipeline.to_device(generator)


def _options(args: Any) -> Any:
    from jaxanon import pipeline

    names = ("mode", "score", "mask_scale", "keypoints", "truncation")
    given = {name: getattr(args, name, None) for name in names}
    return pipeline.Options(**{k: v for k, v in given.items() if v is not None})
