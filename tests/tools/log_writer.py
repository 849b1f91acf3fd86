#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A rank that writes lines at a rate, numbered, so that a lost one is seen: log_writer.py SECONDS LINES_PER_SECOND [titan]

"titan": what training programs print: the same line in every rank but for the numbers in it, a set of lines a step, all ranks in
step. Else each line has the rank's number. At the end the time that the writes took goes to pace.RANK."""
import os
import sys
import time

rank, seconds, rate = int(os.environ["RANK"]), float(sys.argv[1]), float(sys.argv[2])
titan = sys.argv[3:] == ["titan"]
begin = time.monotonic()
longest = 0.0
for number in range(int(seconds * rate)):
    due = begin + number / rate
    now = time.monotonic()
    if due > now:
        time.sleep(due - now)
    if titan:
        # time, colours and fields as torchtitan has them; loss and memory differ from rank to rank
        line = (f"[titan] 2026-11-21 14:00:{number % 60:02d} - root - INFO - step: {number:5d}  loss: {7 + rank / 1000:.4f}  "
                f"grad_norm: 1.25  memory: {41 + rank % 3}.07GiB(51.9%)  tps: {7000 + 13 * rank}  tflops: {390 + rank}.1  mfu: 39.02%\n")
    else:
        line = f"rank {rank} line {number} of a text that is about as long as lines of a log are, or a little less\n"
    start = time.monotonic()
    os.write(1, line.encode())
    longest = max(longest, time.monotonic() - start)
with open(f"pace.{rank}", "w", encoding="ascii") as file:
    print(f"{time.monotonic() - begin:.3f} {longest:.3f}", file=file)
