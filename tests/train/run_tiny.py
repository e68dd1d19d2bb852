"""Trains the tiny config: run_tiny.py WORKDIR IMAGES [--minutes M | ADDRESS PROCESS]."""

import dataclasses
import sys

from tiny_config import TINY

from train import loop, parallel

workdir, images, *rest = sys.argv[1:]
minutes = 0.0
if rest[:1] == ["--minutes"]:
    minutes = float(rest[1])
elif rest:
    parallel.start(rest[0], 2, int(rest[1]))
run = dataclasses.replace(TINY, images=int(images))
loop.train(run, workdir, minutes=minutes)
