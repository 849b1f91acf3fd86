#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small training job over dt-launch's store, of which one rank stalls.

STALL names the way (none, sleep, spin, stop, pipe, collective, import), CULPRIT the rank (2). FIRST is what the
first step takes, STEPS how many there are. Every rank meets all others in the store at each step."""
import os
import signal
import socket
import struct
import sys
import time

rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
stall = os.environ.get("STALL", "none") if rank == int(os.environ.get("CULPRIT", "2")) else "none"


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


class Store:
    def __init__(self):
        address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        self.socket = socket.create_connection(address, 20)
        self.socket.settimeout(None)
        self.socket.sendall(b"\0" + struct.pack("<I", 0x3C85F7CE))

    def barrier(self, name):
        self.socket.sendall(b"\4" + text(name + "/count") + struct.pack("<q", 1))
        if struct.unpack("<q", self.socket.recv(8, socket.MSG_WAITALL))[0] == world:
            self.socket.sendall(b"\1" + text(name) + text("here"))
        self.socket.sendall(b"\6" + struct.pack("<Q", 1) + text(name))
        assert self.socket.recv(1) == b"\0"


def hold(store):
    if stall == "sleep":
        time.sleep(1000)
    while stall == "spin":
        pass
    if stall == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if stall == "pipe":
        _, end = os.pipe()
        while True:
            os.write(end, b"x" * 4096)
    if stall == "collective":
        store.barrier("another")


if stall == "import":
    module = "stuck_" + str(os.getpid())
    os.mkfifo(module)
    with open(module + ".py", "w") as file:
        file.write(f"open({module!r}).read()\n")
    sys.path.insert(0, os.getcwd())
    __import__(module)
store = Store()
for step in range(int(os.environ.get("STEPS", "3"))):
    store.barrier(f"step{step}")
    if step == 0:
        end = time.monotonic() + float(os.environ.get("FIRST", "0"))
        while time.monotonic() < end:
            pass
    if step == 1:
        hold(store)
    sys.stdout.write(f"step {step}\n")
    sys.stdout.flush()
