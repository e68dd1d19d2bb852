"""How many images a second can the input deliver, from memory and from disk?

``python benchmarks/input_pipeline.py --data data/fdf --resolution 128``

Compare with ``train_step.py``: input must be faster than the step. Resident sets cost
the host only the indices; streamed ones are read and decoded by grain.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from train import data
from train.config import DataConfig


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="drawn", help="as data.path")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 8])
    arguments = parser.parse_args()
    batch = arguments.batch
    for resident in (True, False):
        config = DataConfig(path=arguments.data, resident=resident)
        dataset = data.open_dataset(config, "train", arguments.resolution)
        for threads in arguments.threads if not resident else [0]:
            if resident:
                items = data.index_batches(
                    0, dataset.size, batch, slice(0, batch), 0, 1
                )
            else:
                items = data.stream_batches(
                    dataset,
                    seed=0,
                    batch_size=batch,
                    share=slice(0, batch),
                    first_step=0,
                    steps=1,
                    threads=threads,
                )
            next(items)
            seconds = []
            for _ in range(arguments.batches):
                start = time.perf_counter()
                next(items)
                seconds.append(time.perf_counter() - start)
            result = {
                "path": "resident" if resident else "streamed",
                "threads": threads,
                "images_per_second": round(batch / float(np.mean(seconds)), 1),
                "slowest_batch_seconds": round(max(seconds), 4),
                "faces": dataset.size,
                "resolution": arguments.resolution,
                "batch": batch,
                "cores": os.cpu_count(),
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
