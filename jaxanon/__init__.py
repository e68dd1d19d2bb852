"""Gives every person in a photo or video a new, non-existent face."""

__version__ = "0.1.0"
