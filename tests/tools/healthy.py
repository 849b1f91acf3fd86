#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A healthy rank: healthy.py SECONDS SCALE. A first step of 30 s, as when a program is compiled, which computes and says
nothing; then a step each 0.2 s, after which ranks wait for each other, as they do for gradients; once a pause of 20 s for a
checkpoint, in which nothing is said, computed or written, and once a validation of 60 s, which is like the first step but
longer. SCALE makes all three shorter. Ranks meet at a socket in the working directory; rank 0 says what comes next."""
import os
import socket
import sys
import time

total, scale = float(sys.argv[1]), float(sys.argv[2])
rank, others = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]) - 1
began, done = time.monotonic(), []


def join():
    """Connections of rank 0 to all others, of these to rank 0."""
    if rank == 0:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("joining")
        listener.listen(others)
        os.rename("joining", "meet")
        return [listener.accept()[0] for _ in range(others)]
    while not os.path.exists("meet"):
        time.sleep(0.01)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("meet")
    return [connection]


def choose():
    for name, when in (("checkpoint", 0.2), ("validation", 0.5), ("end", 1)):
        if name not in done and time.monotonic() - began > when * total:
            return name
    return "step"


def meet():
    """What all ranks do next."""
    if rank > 0:
        peers[0].sendall(b".")
        return peers[0].recv(16).decode()
    for peer in peers:
        peer.recv(1)
    following = choose()
    for peer in peers:
        peer.sendall(following.encode())
    return following


def compute(seconds):
    end = time.monotonic() + seconds * scale
    while time.monotonic() < end:
        for _ in range(20000):  # a tenth of a core, for eight of these to fit on a small machine
            pass
        time.sleep(0.01)


peers = join()
compute(30)
step = 0
while "end" not in done:
    time.sleep(0.2)
    print("step", step, flush=True)
    step += 1
    following = meet()
    if following == "checkpoint":
        time.sleep(20 * scale)
    elif following == "validation":
        compute(60)
    if following != "step":
        done.append(following)
print("had", *sorted(done), flush=True)
