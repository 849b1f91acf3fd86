#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a launcher on one node takes: to start ranks, to end a job of which one rank died, to start it again.

  bench/launch/times.py -- dt-launch --nproc-per-node 8 --
  bench/launch/times.py --runs 5 -- torchrun --nproc-per-node 8 --no-python

The ranks are a shell that writes down the time; rank 3 dies (SIGKILL) once all are there. Medians; the best in brackets.
  start    from the launcher's start until the first rank runs, until the last one runs; memory of the launcher, all its
           processes together
  death    from the death of a rank until the launcher has ended
  restart  from the death of a rank until the last rank runs again (with --max-restarts 1)
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

# Each line is one short write at the end of a file, so the lines of ranks do not mix. $4 is the process of this program.
RANK = r"""
now() { date +%s%N; }
now >>"$1/started.${TORCHELASTIC_RESTART_COUNT:-0}"
case $2 in
start)
    [ "$RANK" = 0 ] || exit 0
    p=$PPID kb=0
    while [ "$p" -gt 1 ] && [ "$p" != "$4" ]; do
        while read -r key value _; do
            case $key in VmRSS:) kb=$((kb + value)) ;; PPid:) parent=$value ;; esac
        done <"/proc/$p/status"
        p=$parent
    done
    echo "$kb" >"$1/memory" ;;
*)
    [ "${TORCHELASTIC_RESTART_COUNT:-0}" = 0 ] || exit 0
    [ "$RANK" = 3 ] || exec sleep 600
    until [ "$(wc -l <"$1/started.0")" = "$3" ]; do sleep 0.01; done
    sleep 0.2
    now >"$1/died"
    kill -9 $$ ;;
esac
"""


def times_in(directory, name):
    try:
        with open(os.path.join(directory, name)) as file:
            return sorted(int(line) for line in file)
    except FileNotFoundError:
        return []


def run_once(launcher, what, world):
    with tempfile.TemporaryDirectory() as directory:
        begin = time.time_ns()
        done = subprocess.run(launcher + ["/bin/sh", "-c", RANK, "sh", directory, what, str(world), str(os.getpid())],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300, check=False)
        end = time.time_ns()
        started, again, died = (times_in(directory, name) for name in ("started.0", "started.1", "died"))
        good = (done.returncode != 0) == (what == "death") and len(started) == world
        if not good or len(again) != (world if what == "restart" else 0):
            sys.exit("%s: exit code %d, %d ranks started and %d again: %s"
                     % (what, done.returncode, len(started), len(again), done.stderr.decode(errors="replace")[-2000:]))
        if what == "start":
            return started[0] - begin, started[-1] - begin, times_in(directory, "memory")[0] * 1000000 // 1024
        return (end - died[0],) if what == "death" else (again[-1] - died[0],)


def text(values, unit):
    return "%.1f %s (%.1f)" % (statistics.median(values) / 1e6, unit, min(values) / 1e6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--world", type=int, default=8)
    parser.add_argument("launcher", nargs="+")
    options = parser.parse_args()
    first, last, memory = zip(*(run_once(options.launcher, "start", options.world) for _ in range(options.runs)))
    print("start: first rank after %s, last after %s; %s resident"
          % (text(first, "ms"), text(last, "ms"), text(memory, "MB")), flush=True)
    death, = zip(*(run_once(options.launcher, "death", options.world) for _ in range(options.runs)))
    print("death: launcher ended after %s" % text(death, "ms"), flush=True)
    # the launcher's own options come before the word or option that ends them
    again = options.launcher[:1] + ["--max-restarts=1"] + options.launcher[1:]
    restart, = zip(*(run_once(again, "restart", options.world) for _ in range(options.runs)))
    print("restart: all ranks run again after %s" % text(restart, "ms"), flush=True)


if __name__ == "__main__":
    main()
