"""Encoded pictures as arrays and back."""

from collections.abc import Iterator, Mapping

import av
import numpy as np

Packet = av.Packet


def pack(packets: list[Packet]) -> dict[str, np.ndarray]:
    """Turns encoded pictures into arrays, for ``unpack``."""
    times = [(p.pts, p.dts, p.duration or 0, int(p.is_keyframe)) for p in packets]
    joined = b"".join(bytes(packet) for packet in packets)
    return {
        "packets": np.frombuffer(joined, np.uint8),
        "sizes": np.array([packet.size for packet in packets], np.int64),
        "times": np.array(times, np.int64).reshape(-1, 4),
    }


def unpack(arrays: Mapping[str, np.ndarray]) -> Iterator[Packet]:
    """Yields the encoded pictures; their times are in the encoder's unit."""
    ends = np.cumsum(arrays["sizes"])
    for size, end, times in zip(arrays["sizes"], ends, arrays["times"], strict=True):
        packet = av.Packet(arrays["packets"][end - size : end].tobytes())
        packet.pts, packet.dts, packet.duration = map(int, times[:3])
        packet.is_keyframe = bool(times[3])
        yield packet
