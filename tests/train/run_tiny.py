"""Trains the tiny config: run_tiny.py WORKDIR IMAGES [COORDINATOR PROCESS]."""

import dataclasses
import sys

from tiny_config import TINY

from train import loop, parallel

if len(sys.argv) > 3:
    parallel.start(sys.argv[3], 2, int(sys.argv[4]))
loop.train(dataclasses.replace(TINY, images=int(sys.argv[2])), sys.argv[1])
