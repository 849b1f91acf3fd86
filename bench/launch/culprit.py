#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often the launcher names the rank that failed first.

Each run starts ranks that hold a connection to one of them, the culprit, which then exits with code 7. The
others see the connection close, as ranks of a training do, and exit with code 1 after a gap. A run is right when
the launcher's words blame the culprit alone, and its exit code is 7.

  bench/launch/culprit.py --runs 100 --gap-ms 1,20,50 -- dt-launch --nproc-per-node 8 --
  bench/launch/culprit.py --runs 100 --world 8 -- srun -K -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 2 --
  bench/launch/culprit.py --runs 10 --match '(?s)Root Cause.*?rank *: ([0-9]+) ' --any-code -- torchrun --nproc-per-node 8 --no-python

The directory of the run (--directory, default: the current one) must be shared by all nodes. CULPRIT_ADDRESS: where a
node's ranks are reached, if not by its name under Slurm.
"""
import argparse
import os
import re
import socket
import subprocess
import sys
import time


def wait_for(path):
    while True:
        try:
            with open(path) as file:
                text = file.read()
            if text.endswith("\n"):
                return text.split()
        except FileNotFoundError:
            pass
        time.sleep(0.005)


def rank_main(culprit, gap_ms, path):
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank == culprit:
        with socket.create_server(("", 0)) as server:
            with open(path + ".new", "w") as file:
                host = socket.gethostname()
                address = os.environ.get("CULPRIT_ADDRESS") or os.environ.get("SLURMD_NODENAME") and socket.gethostbyname(host) or "127.0.0.1"
                print(address, server.getsockname()[1], file=file)
            os.rename(path + ".new", path)
            peers = [server.accept()[0] for _ in range(world - 1)]
            time.sleep(0.02)
            os._exit(7)  # peers close now
    host, port = wait_for(path)
    with socket.create_connection((host, int(port))) as peer:
        try:
            peer.recv(1)
        except ConnectionError:
            pass
        time.sleep(gap_ms / 1000)
        os._exit(1)


def run_once(options, number, culprit, gap_ms):
    path = os.path.join(os.path.abspath(options.directory), "culprit.%d.%d" % (os.getpid(), number))
    command = options.launcher + [sys.executable, "-S", "-E", os.path.abspath(__file__), "--rank", str(culprit), str(gap_ms), path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    named = re.findall(options.match, done.stderr)
    right = named == [str(culprit)] and (options.any_code or done.returncode == 7)
    if not right and options.verbose:
        print("run %d: rank %d failed first, named %s, code %d" % (number, culprit, named, done.returncode), done.stderr)
    return right


def main():
    if sys.argv[1:2] == ["--rank"]:
        rank_main(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--gap-ms", default="1,20,50")
    parser.add_argument("--world", type=int, default=8)
    parser.add_argument("--directory", default=".")
    parser.add_argument("--match", default=r"(?m)^dt-launch: rank ([0-9]+) \(", help="finds the ranks that were named")
    parser.add_argument("--any-code", action="store_true", help="the exit code need not be that of the culprit")
    parser.add_argument("--atleast", type=float, default=0, help="exit 1 when fewer (per cent) are right")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("launcher", nargs="+")
    options = parser.parse_args()
    good = True
    for gap_ms in map(float, options.gap_ms.split(",")):
        right = sum(run_once(options, i, i * 5 % options.world, gap_ms) for i in range(options.runs))
        share = 100 * right / options.runs
        good = good and share >= options.atleast
        print("others fail %g ms later: named right in %d of %d runs (%.1f %%)" % (gap_ms, right, options.runs, share), flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
