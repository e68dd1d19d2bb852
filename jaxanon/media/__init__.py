"""Bytes to frames and back: pictures (Pillow) and videos (PyAV), written atomically."""
