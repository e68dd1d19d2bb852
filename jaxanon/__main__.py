"""python -m jaxanon is the command jaxanon."""

from jaxanon.cli import script

if __name__ == "__main__":
    script()
