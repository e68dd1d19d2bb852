"""What a training run is: frozen dataclasses.

Durations are in images seen, so that they mean the same at any batch size.
"""

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxanon import models
from jaxanon.errors import ConfigError
from jaxanon.models import generators
from train.overrides import override as override


@dataclass(frozen=True)
class DataConfig:
    """Where the faces come from."""

    path: str = "drawn"
    """``drawn`` = faces drawn by code; a folder in FDF's layout; a ``.npz`` made by
    ``python -m train.pack``; or a folder of TFDS records."""
    validation: str = ""
    """The held-out faces; empty = the split of the same name beside ``path``."""
    licences: tuple[str, ...] = ()
    """Keeps only pictures of these licences, e.g. ``("by", "by-sa")``; () = all."""
    keypoint_score: float = 0.3
    """Keypoints that the annotator was less sure of count as not visible."""
    resident: bool = True
    """Keeps the whole set on the device as uint8; False = streams it from disk."""
    drawn: int = 512
    """How many faces ``drawn`` draws."""
    threads: int = 8
    """Readers of a streamed set, per process."""


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to the faces on the device, and how often."""

    mirror: float = 0.5
    """Probability."""
    jitter: float = 0.04
    """Largest shift of each side of the box, in box sides."""
    enlarge: tuple[float, float] = (1.0, 1.45)
    """Smallest and largest scale of the mask over the face box."""
    occlude: float = 0.1
    """Probability of one more masked patch, at the rim of the mask."""
    drop_all: float = 0.1
    """Probability that no keypoint is given."""
    drop_mouth: float = 0.2
    """Probability that only the mouth corners are missing."""
    drop_some: float = 0.3
    """Probability that each keypoint is dropped by the toss of a coin."""
    keypoint_noise: float = 0.005
    """Standard deviation of the given keypoints, in crop sides."""
    darken: float = 0.0
    """Probability that the whole picture is made darker, down to a tenth."""
    blur: float = 0.0
    """Probability that the picture is out of focus."""
    cut: float = 0.0
    """Probability that the picture ends at a line, perhaps through the face, tossed
    twice: what is beyond is masked, as in a crop that leaves its photo."""
    zoom: float = 0.0
    """Probability that the losses see a part of the face, 1.2 to 2.5 times enlarged."""
    critic: float = 0.0
    """Probability of each transform of what the discriminator sees (ADA's p)."""
    transforms: tuple[str, ...] = ("colour", "translate", "cutout")
    """Which of them (DiffAugment's three)."""


@dataclass(frozen=True)
class DonorsConfig:
    """Whose faces a painter of donors gets in training; other generators get none."""

    nearest: int = 24
    """Somebody else is drawn from so many whose heads are held most alike."""
    tone: float = 0.7
    """How much the colour of the face counts in that, beside how the head is held."""
    pairs: float = 0.2
    """Probability that a face's own donor is another photo of the person, where there
    is one."""
    mirror: float = 0.35
    """Probability that a face's own donor is mirrored against it."""
    jitter: float = 0.012
    """Standard deviation of the keypoints of a face's own donor, in crop sides."""
    light: float = 1.0
    """How much the light of a face's own donor is changed."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, of the generator or of the discriminator."""

    learning_rate: float = 2e-4
    beta1: float = 0.0
    beta2: float = 0.99
    epsilon: float = 1e-8
    warmup_images: int = 0
    """The learning rate rises linearly over these."""
    decay: bool = False
    """Lets the learning rate fall along a cosine to a tenth at the end."""
    clip_norm: float = 0.0
    """Largest norm of a gradient; 0 = any."""


@dataclass(frozen=True)
class TrainConfig:
    """One experiment."""

    name: str = "unnamed"
    seed: int = 0
    generator: Any = field(default_factory=models.GeneratorConfig)
    discriminator: models.AnyDiscriminator = field(
        default_factory=models.DiscriminatorConfig
    )
    encoder: models.EncoderConfig = field(default_factory=models.EncoderConfig)
    posterior: float = 0.5
    """Share of the batch whose z comes from the encoder, so that reconstruction can be
    asked of the generator without making it ignore z: 1/n of it, 1 = all; 0 = a plain
    conditional GAN. Of a painter of donors, the share that gets its own face."""
    objective: Any = ("non_saturating", ("r1", {"gamma": 1.0, "every": 16}))
    """For ``jaxanon.objectives.make``: a name or a list of terms; on all faces. () =
    nothing adversarial: a variational autoencoder, and no discriminator is run."""
    reconstruction: Any = (("l1", 10.0), ("feature_matching", 10.0))
    """The same, on the faces whose z comes from the encoder; () = none."""
    background: float = 2.0
    """Weight of l1 outside the mask, where the right answer is in plain sight."""
    swap: bool = False
    """Paints the rest of the batch with the z of the encoded faces, each in the place
    of another person, and not with a draw from the prior: z means the same wherever
    it comes from (Park et al. 2020, Swapping autoencoder). Inference then draws from
    what the posteriors add up to."""
    swap_weight: float = 1.0
    """Weight of the generator's part of ``objective`` on those faces, and on those that
    get somebody else's donor: nothing but the discriminator holds them together, and
    it can be cheated."""
    exposure: float = 0.0
    """How much the light and colour of what the encoder sees are changed at random, as
    a standard deviation: z then leaves them to the surroundings."""
    second: bool = False
    """Paints every face with another z too, which the term ``diversity`` needs."""
    kl: float = 0.05
    """Weight of the divergence of q(z|face) from the prior, in nats per face."""
    latent: float = 0.0
    """Weight of |E(G(c, z)) - z| on the faces that were not encoded, so that z can be
    read off the face (Zhu et al. 2017, BicycleGAN)."""
    latent_spread: float = 1.0
    """Where inference draws from the posteriors' sum: its width then. More gives more
    different, and at some point worse, faces."""
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    donors: DonorsConfig = field(default_factory=DonorsConfig)
    keep: float = 0.0
    """Weight of how much of the inner face is not the donor's, of a painter of
    donors: what it paints itself is never as sharp."""
    generator_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    discriminator_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 32
    """Images per update, over all devices."""
    accumulate: int = 1
    """Parts that a batch is worked off in, for less memory."""
    images: int = 1_000_000
    """Length of the run."""
    dtype: str = "auto"
    """Compute dtype of all networks; auto = bfloat16 on accelerators, float32 on CPU;
    parameters and losses are float32 always."""
    ema_half_life_images: float = 10_000.0
    ema_rampup: float = 0.1
    """The half-life is at most this share of the images seen so far."""
    steps_per_dispatch: int = 0
    """Updates that the device makes on its own; 0 = 1 on CPU, 16 elsewhere."""
    log_images: int = 2_000
    sample_images: int = 50_000
    """How often the grid of samples is drawn."""
    evaluate_images: int = 200_000
    checkpoint_images: int = 100_000
    keep_checkpoints: int = 3
    """The newest ones; the best by ``best_metric`` is kept besides."""
    best_metric: str = "reconstruction_l1"
    """Of the evaluation; smaller is better."""
    evaluate_faces: int = 256
    """Validation faces that the evaluation during training looks at."""
    init_from: str = ""
    """A weights file or a workdir; parameters of equal name and shape are taken."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a config file and applies ``a.b=c`` overrides.

    Raises:
        ConfigError: the file has no ``get_config``, or an override is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"No config file {path}.")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{path} has no function get_config() -> TrainConfig.")
    return override(module.get_config(), overrides)


def as_dict(config: Any) -> dict[str, Any]:
    """Returns the fields as JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def digest(config: Any) -> str:
    """Returns a hash that two configs share only if they are equal."""
    text = json.dumps(as_dict(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(config: TrainConfig, devices: int) -> None:
    """Raises ConfigError when the sizes of a run do not fit together."""
    if not config.objective and not (config.posterior and config.reconstruction):
        raise ConfigError("Nothing to learn: neither objective nor reconstruction.")
    every = stride(config)
    parts = devices * config.accumulate * every
    if config.batch_size < 1 or config.batch_size % parts:
        halves = f" x {every} (posterior)" if every > 1 else ""
        raise ConfigError(
            f"Batch size {config.batch_size} must be divisible by {parts}: {devices} "
            f"devices x {config.accumulate} (accumulate){halves}."
        )
    resolution = config.generator.resolution
    for name in ("discriminator", "encoder"):
        other = getattr(config, name).resolution
        if other != resolution and (name == "discriminator" or has_encoder(config)):
            raise ConfigError(
                f"{name}.resolution is {other}, but generator.resolution is "
                f"{resolution}: they must be equal."
            )
    if config.swap and every == 1:
        raise ConfigError(
            f"swap needs posterior 1/2, 1/3, ..., not {config.posterior}."
        )
    if paints_donors(config):
        _check_donors(config)
    elif config.posterior:
        _check_encoder(config)
    if not config.latent_spread > 0:
        raise ConfigError(f"latent_spread {config.latent_spread} is not above 0.")
    if config.dtype not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"dtype {config.dtype!r} is not auto, float32 or bfloat16.")


def _check_donors(config: TrainConfig) -> None:
    if not config.posterior or config.swap or config.latent or config.second:
        raise ConfigError(
            "A painter of donors needs posterior above 0, and neither swap nor latent "
            "nor second."
        )
    if not config.data.resident:
        raise ConfigError("A painter of donors needs data.resident.")


def _check_encoder(config: TrainConfig) -> None:
    shape = models.latent_shape(config.generator)
    if shape != (config.encoder.latent_dim,):
        raise ConfigError(
            f"encoder.latent_dim {config.encoder.latent_dim} does not fit the "
            f"generator's latent of shape {shape}: change it or set posterior=0."
        )


def stride(config: TrainConfig) -> int:
    """Returns n where every n-th face's z comes from the encoder; 1 where none does.

    Raises:
        ConfigError: the share is not one of 0, 1, 1/2, 1/3, ...
    """
    if config.posterior == 0:
        return 1
    every = round(1 / config.posterior) if 0 < config.posterior <= 1 else 0
    if not every or abs(every * config.posterior - 1) > 1e-6:
        raise ConfigError(f"posterior {config.posterior} is not 0 or 1/n.")
    return every


def paints_donors(config: TrainConfig) -> bool:
    """Says whether the generator paints from donors."""
    return models.latent_kind(config.generator) == "donor"


def has_encoder(config: TrainConfig) -> bool:
    """Says whether some z come from an encoder."""
    return bool(config.posterior) and not paints_donors(config)


def draws_posterior(config: TrainConfig) -> bool:
    """Says whether every z that the generator sees comes from the encoder."""
    return has_encoder(config) and (config.posterior == 1 or config.swap)


def from_dict(config: Any, values: Mapping[str, Any]) -> Any:
    """Fills a config of the right classes with what ``as_dict`` gave.

    Raises:
        ConfigError: a field is unknown.
    """
    new = {}
    for name, value in values.items():
        if not hasattr(config, name):
            raise ConfigError(f"Unknown field {name!r} of {type(config).__name__}.")
        old = getattr(config, name)
        if name == "generator":
            old = generators.config_class(value["kind"])()
        if isinstance(value, Mapping) and value.get("kind") == "projected":
            old = models.ProjectedConfig()
        if dataclasses.is_dataclass(old):
            new[name] = from_dict(old, value)
        else:
            new[name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(config, **new)
