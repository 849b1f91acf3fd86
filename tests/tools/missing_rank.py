#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long until dt-launch says which rank has not arrived: two nodes of two ranks by hand, one of which sleeps before it connects.

  missing_rank.py --runs 10 -- build/bin/dt-launch                     --missing-after's default, 10 s
  missing_rank.py --runs 1 --after 2 -- build/bin/dt-launch

All runs go on at the same time, each with another rank missing in turn. Right is a run in which that rank alone is named, not
before the time, and not more than --late later. Exit code 1 when one is not.
"""
import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

RANK = """import os, socket, struct, sys, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
while rank == int(sys.argv[1]) and not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
text = lambda s: struct.pack("<Q", len(s)) + s
store = socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
store.sendall(b"\\x03" + text(b"count") + struct.pack("<q", 1))
if struct.unpack("<q", store.recv(8, socket.MSG_WAITALL))[0] == world:
    store.sendall(b"\\x00" + text(b"all") + text(b"1"))
store.sendall(b"\\x05" + struct.pack("<Q", 1) + text(b"all"))
assert store.recv(1) == b"\\0"
"""


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def one_run(options, missing, found):
    with tempfile.TemporaryDirectory() as scratch:
        over = os.path.join(scratch, "over")
        port = str(free_port())
        words = [options.launcher, "--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", port, "--nproc-per-node", "2"]
        if options.after != 10:
            words += ["--missing-after", str(options.after)]
        program = ["--", sys.executable, "-I", "-S", "-c", RANK, str(missing), over]
        began = time.monotonic()
        nodes = [subprocess.Popen(words + ["--node-rank", str(node)] + program, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for node in (0, 1)]
        seconds, named = None, []
        for line in nodes[0].stderr:
            if line.startswith("dt-launch: after "):
                seconds = time.monotonic() - began
            elif match := re.match(r"  \| rank ([0-9]+) on \S+ .*opened no connection", line):
                named.append(int(match.group(1)))
                open(over, "w", encoding="ascii").close()
        nodes[1].communicate()
        codes = [node.wait() for node in nodes]
        found.append((seconds, named == [missing] and codes == [0, 0], missing, named, codes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--after", type=float, default=10)
    parser.add_argument("--late", type=float, default=1)
    parser.add_argument("launcher")
    options = parser.parse_args()
    options.launcher = os.path.abspath(options.launcher)
    found = []
    threads = [threading.Thread(target=one_run, args=(options, run % 4, found)) for run in range(options.runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    right = [row for row in found if row[1] and options.after <= row[0] <= options.after + options.late]
    for row in found:
        if row not in right:
            print("after %s s, rank %d was missing, named %s, codes %s" % (row[0], *row[2:]))
    times = [row[0] for row in found if row[0] is not None]
    print("missing rank named in %d of %d runs, after %.2f to %.2f s (asked: %g)" % (len(right), options.runs, min(times, default=0), max(times, default=0), options.after))
    sys.exit(len(right) < options.runs)


if __name__ == "__main__":
    main()
