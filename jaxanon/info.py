"""What is installed: versions, devices, detectors, weights and where they come from."""

import hashlib
import json
from importlib import resources
from typing import Any

import jax

from jaxanon import detect, manifest, runtime


def describe(device: str) -> dict[str, Any]:
    """Gathers everything, ready for JSON.

    Args:
        device: What `runtime.start` chose.
    """
    return {
        "versions": manifest.versions(),
        "device": device,
        "devices": [f"{d.platform} ({d.device_kind})" for d in jax.devices()],
        "detectors": detect.names(),
        "weights": _weights(),
        "cache": str(runtime.cache_folder() or "off"),
    }


def to_text(described: dict[str, Any]) -> str:
    """Lays `describe` out for reading."""
    lines = []
    for name, value in described.items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines += [f"  {key}: {_flat(content)}" for key, content in value.items()]
        else:
            text = ", ".join(value) if isinstance(value, list | tuple) else value
            lines.append(f"{name}: {text}")
    return "\n".join(lines)


def _flat(content: Any) -> str:
    if not isinstance(content, dict):
        return str(content)
    return "".join(f"\n    {key}: {value}" for key, value in content.items())


def _weights() -> dict[str, dict[str, Any]]:
    """Reads the heads of the shipped weights: quicker than loading them."""
    found = {}
    for file in (resources.files("jaxanon") / "assets").iterdir():
        if not file.name.endswith(".safetensors"):
            continue
        data = file.read_bytes()
        length = int.from_bytes(data[:8], "little")
        head = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        found[file.name.removesuffix(".safetensors")] = {
            "kind": head.get("kind"),
            "megabytes": round(len(data) / 1e6, 1),
            "sha256": hashlib.sha256(data).hexdigest(),
            **json.loads(head.get("provenance", "{}")),
        }
    return dict(sorted(found.items()))
