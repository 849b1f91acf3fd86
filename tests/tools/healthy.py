#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A healthy rank: healthy.py SECONDS SCALE. A first step of 30 s, as when a program is compiled, which computes and says nothing;
then a step each 0.2 s; once a pause of 20 s for a checkpoint, in which nothing is said, computed or written, and once a
validation of 60 s, which is like the first step but longer. SCALE makes all three shorter."""
import sys
import time

total, scale = float(sys.argv[1]), float(sys.argv[2])
began, step, done = time.monotonic(), 0, set()


def compute(seconds):
    end = time.monotonic() + seconds * scale
    while time.monotonic() < end:
        for _ in range(20000):  # a tenth of a core, for eight of these to fit on a small machine
            pass
        time.sleep(0.01)


phases = (("checkpoint", 0.2, lambda: time.sleep(20 * scale)), ("validation", 0.5, lambda: compute(60)))
compute(30)
while time.monotonic() - began < total:
    time.sleep(0.2)
    print("step", step, flush=True)
    step += 1
    for name, when, phase in phases:
        if name not in done and time.monotonic() - began > when * total:
            done.add(name)
            phase()
print("had", *sorted(done), flush=True)
