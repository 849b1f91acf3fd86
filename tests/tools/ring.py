#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ranks in a ring over TCP, in a directory that all share: ring.py HOW [ADDRESS with %d for the rank].

HOW: cut: once the file "cut" is there each sends to the next and waits for the one before; deaf: rank 1 reads nothing
while all send; alike: all wait, and nobody sends."""
import os
import socket
import sys
import time

rank, world, how = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), sys.argv[1]


def own_address():
    if len(sys.argv) > 2:
        return sys.argv[2] % rank
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((os.environ["MASTER_ADDR"], 9))
    return probe.getsockname()[0]


def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.02)


def meet(address):
    """Connections to the next rank, and from the one before."""
    server = socket.create_server((address, 0))
    with open(f"at.{rank}.new", "w") as file:
        file.write(f"{address} {server.getsockname()[1]}")
    os.rename(f"at.{rank}.new", f"at.{rank}")
    after = f"at.{(rank + 1) % world}"
    wait_for(after)
    host, port = open(after).read().split()
    to = socket.create_connection((host, int(port)), 60, (address, 0))
    to.settimeout(None)
    return to, server.accept()[0]


after, before = meet(own_address())
print("step 1", flush=True)
open(f"up.{rank}", "w").close()
if how == "cut":
    wait_for("cut")
    after.sendall(b"x" * 1000)
    before.recv(1001, socket.MSG_WAITALL)
if how == "deaf":
    while rank != 1:
        after.sendall(b"x" * 100000)
        before.recv(1 << 20)
if how == "alike":
    before.recv(1)
time.sleep(600)
