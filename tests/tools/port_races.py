#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two jobs of four ranks started at one moment on one host, beside a process that takes and leaves random ephemeral ports.

  port_races.py --starts 200 -- build/bin/dt-launch

Each rank goes through a barrier of the store on MASTER_PORT, and rank 0 binds JAX's port. Every other start looks to dt-launch like a
step of Slurm, whose ports follow from the step's number. Counted: jobs that failed or spoke of a port in use; and beside them, at the same
moments, how often ports by the usual formulas could not be had: 29500, and RANDOM+10000, each bound for both jobs as PyTorch's
store binds (SO_REUSEADDR). Exit code 1 when a job of dt-launch failed.
"""
import argparse
import errno
import multiprocessing
import os
import random
import resource
import socket
import subprocess
import sys
import time

RANK = """import os, socket, struct
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
if rank == 0:
    jax = socket.socket()
    jax.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    jax.bind(("", int(os.environ["JAX_COORDINATOR_ADDRESS"].rsplit(":", 1)[1])))
    jax.listen()
text = lambda s: struct.pack("<Q", len(s)) + s
store = socket.create_connection((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])), 10)
store.sendall(b"\\0" + struct.pack("<I", 0x3C85F7CE) + b"\\4" + text(b"count") + struct.pack("<q", 1))
if struct.unpack("<q", store.recv(8, socket.MSG_WAITALL))[0] == world:
    store.sendall(b"\\1" + text(b"all") + text(b"here"))
store.sendall(b"\\6" + struct.pack("<Q", 1) + text(b"all"))
assert store.recv(1) == b"\\0"
if rank == 0:
    print("met at", os.environ["MASTER_PORT"], flush=True)
"""


def listen(port, reuse):
    s = socket.socket()
    try:
        if reuse:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", port))
        s.listen()
        return s
    except OSError as error:
        s.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None


def eat(count, ready):
    """Holds `count` random ephemeral ports, another one of them every moment."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(count, hard - 64, (high - low) // 2)
    held = []
    while True:
        if len(held) >= count:
            held.pop(random.randrange(len(held))).close()
            ready.set()
        if s := listen(random.randint(low, high), False):
            held.append(s)
        if ready.is_set():
            time.sleep(0.0005)


def step_variables():
    return {
        "SLURM_JOB_ID": str(random.randint(1, 40000)), "SLURM_STEP_ID": str(random.randint(0, 9)), "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NNODES": "1", "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_STEP_NODELIST": "localhost", "SLURMD_NODENAME": "localhost",
    }


def formula_fails(ports):
    """Of two jobs that take these ports at once, how many find theirs taken."""
    held = [listen(port, True) for port in ports]
    for s in filter(None, held):
        s.close()
    return held.count(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--eaten", type=int, default=4000)
    parser.add_argument("launcher")
    options = parser.parse_args()
    ready = multiprocessing.Event()
    eater = multiprocessing.Process(target=eat, args=(options.eaten, ready), daemon=True)
    eater.start()
    ready.wait(60)
    failed = constant = chosen = 0
    began = time.monotonic()
    for start in range(options.starts):
        jobs = []
        for _ in range(2):
            environment = {"PATH": os.environ["PATH"], "HOME": "/tmp", **(step_variables() if start % 2 else {})}
            jobs.append(subprocess.Popen([os.path.abspath(options.launcher), "--nproc-per-node", "4", "--", sys.executable, "-I", "-S", "-c", RANK],
                                         env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        constant += formula_fails([29500, 29500])
        chosen += formula_fails([10000 + random.randrange(32768) for _ in range(2)])
        for job in jobs:
            said = job.communicate(timeout=60)[0]
            if job.returncode or not said.startswith("met at") or "in use" in said:
                failed += 1
                print("a job failed with code %d: %s" % (job.returncode, said))
    eater.kill()
    print("%d starts of 2 jobs beside a process that holds %d random ports, in %.0f s: port in use with dt-launch %d, with 29500 %d, with RANDOM+10000 %d of %d jobs" %
          (options.starts, options.eaten, time.monotonic() - began, failed, constant, chosen, 2 * options.starts))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
