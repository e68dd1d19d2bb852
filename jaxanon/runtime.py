"""Sets JAX up for a command: which device, and compiled code kept between runs."""

import os
import sys
from importlib import metadata
from pathlib import Path

from jaxanon.errors import ConfigError

FAST_ON_CPU = (
    "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
)
"""Lets XLA's library of kernels compute convolutions: see generator_speed.py."""

KNOWN_TO = ("0.10.",)
"""Releases of jaxlib that know it; XLA ends the process at a flag it does not know."""

DEVICES = ("auto", "cpu", "gpu", "tpu")


def cache_folder() -> Path | None:
    """Says where compiled code is kept: the user's cache; None if switched off.

    JAXANON_CACHE=off switches it off; any other value is a folder to use instead.
    """
    chosen = os.environ.get("JAXANON_CACHE", "")
    if chosen.lower() in ("off", "0", "none"):
        return None
    if chosen:
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = home / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return root / "jaxanon"


def start(device: str) -> str:
    """Chooses the device and the compilation cache; call before JAX is used.

    Returns:
        The platform and kind of the device, for the record.

    Raises:
        ConfigError: There is no such device; the message lists what there is.
    """
    # Pictures need little; leave the rest of the accelerator to others.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    flags = os.environ.get("XLA_FLAGS", "")
    known = metadata.version("jaxlib").startswith(KNOWN_TO)
    if known and "xla_cpu_experimental_ynn_fusion_type" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FAST_ON_CPU}".strip()
    import jax

    _keep_compiled_code()
    if device != "auto":
        jax.config.update("jax_platforms", device)
    try:
        found = jax.devices()[0]
    except RuntimeError as error:
        jax.config.update("jax_platforms", None)
        there = sorted({d.platform for d in jax.devices()} | {"cpu"})
        raise ConfigError(
            f"--device {device}: not there; this machine has {', '.join(there)}."
        ) from error
    return f"{found.platform} ({found.device_kind})"


def _keep_compiled_code() -> None:
    import jax

    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # A read-only home costs time, nothing else.
    if not os.access(folder, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
