#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dt-gather alone: N nodes send the report of a real tree; how long from the last report to the last
verdict, and what processor time dt-gather took. Arguments: NODES ROUNDS, and the report as dt-node
--print --json gives it on standard input. Prints two medians: milliseconds, CPU ms a node."""
import json
import os
import resource
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/cli"))
from fake_nodes import Gather, Node, frame, read_frame  # noqa: E402


def one_round(nodes, report):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    gather = Gather("--nodes", str(nodes), "--job", "7.0", "--timeout", "60")
    peers = [Node(gather, i, nodes) for i in range(nodes)]
    for peer in peers:
        peer.welcome()
    frames = []
    for peer in peers:
        facts = dict(report["facts"], **{"node.name": peer.name, "clock.offset_us": 5, "clock.rtt_us": 100})
        frames.append(frame({"type": "report", "facts": facts, "checks": report["checks"], "env": "",
                             "port": 40000, "took_us": 5000}))
    for peer, bytes_ in zip(peers, frames):
        peer.sock.sendall(bytes_)
    start = time.monotonic()
    verdicts = [read_frame(peer.sock) for peer in peers]
    took = time.monotonic() - start
    assert all(verdict["type"] == "verdict" for verdict in verdicts)
    gather.process.communicate(timeout=15)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1000, cpu * 1000 / nodes


def main():
    nodes, rounds = int(sys.argv[1]), int(sys.argv[2])
    report = json.load(sys.stdin)
    results = [one_round(nodes, report) for _ in range(rounds)]
    print("%.1f %.2f" % tuple(statistics.median(column) for column in zip(*results)))


main()
