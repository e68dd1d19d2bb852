"""The program that trains the networks of ``jaxanon``: ``python -m train``."""
