#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the store that dt-launch serves, with many simulated ranks at a barrier.

  dt-launch -- bench/launch/store_clients.py [CLIENTS]

Each client connects, adds one to a counter, and waits for a key; the last one sets it. Twice, with the connections
made in the first round. The time of this Python program is in it: what dt-launch itself used is shown beside.
"""
import os
import resource
import socket
import struct
import sys
import time

HELLO = b"\0" + struct.pack("<I", 0x3C85F7CE)


def text(s):
    return struct.pack("<Q", len(s)) + s


def cpu_and_memory():
    with open("/proc/%d/stat" % os.getppid()) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open("/proc/%d/status" % os.getppid()) as file:
        status = dict(line.split(":", 1) for line in file)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0]) / 1024


def barrier(clients, number):
    key = b"barrier%d" % number
    for client in clients:
        client.sendall(b"\4" + text(key + b"/count") + struct.pack("<q", 1))
        client.sendall(b"\6" + struct.pack("<Q", 1) + text(key + b"/all"))
    for client in clients:
        count, = struct.unpack("<q", client.recv(8, socket.MSG_WAITALL))
        if count == len(clients):
            client.sendall(b"\1" + text(key + b"/all") + text(b"1"))
    for client in clients:
        assert client.recv(1) == b"\0"


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < count + 50:
        sys.exit("%d clients need ulimit -n %d on both sides; it is %d" % (count, count + 50, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    cpu_before, memory_before = cpu_and_memory()
    begin = time.monotonic()
    clients = [socket.create_connection(address, 30) for _ in range(count)]
    for client in clients:
        client.sendall(HELLO)
    connected = time.monotonic()
    barrier(clients, 1)
    first = time.monotonic()
    barrier(clients, 2)
    second = time.monotonic()
    cpu, memory = cpu_and_memory()
    print("%d clients: connected in %.2f s, barriers in %.2f s and %.2f s; dt-launch used %.2f s of CPU, "
          "%.1f MB resident before and %.1f MB with them"
          % (count, connected - begin, first - connected, second - first, cpu - cpu_before, memory_before, memory))


if __name__ == "__main__":
    main()
