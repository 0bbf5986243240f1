"""An exploration in a process of its own, slow enough to be ended half-way."""

import sys
import time

from hwsim.explore import Space, evaluate, executor, run
from hwsim.networks import network as known

SPACE = {
    "objectives": ["throughput", "energy"],
    "memory_gb_per_s": {"from": 1, "to": 32, "step": 1},
    "systolic": {
        "rows": {"from": 8, "to": 64, "step": 8},
        "cols": {"from": 8, "to": 64, "step": 8},
        "buffer_bytes": {"from": 65536, "to": 1048576, "factor": 2},
        "dataflow": ["weight-stationary", "output-stationary"],
        "accumulator_rows": [256, 512, 1024, 2048],
    },
}


def main(store, workers, log, delay):
    original = executor.evaluate

    def counted(job, numbers):
        time.sleep(float(delay))
        with open(log, "a") as file:
            file.write(f"{numbers[0]}\n")
        return original(job, numbers)

    executor.evaluate = counted
    study = run.explore(known("alexnet"), Space.load(SPACE), store=store, workers=int(workers))
    print(study.evaluated, study.reused)


if __name__ == "__main__":
    assert evaluate.COLUMNS
    main(*sys.argv[1:])
