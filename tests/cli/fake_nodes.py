#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes that speak dt's protocol with dt-gather, good and bad ones, and a gather that speaks it with
dt-node. For tests/cli/gather.bats and node.bats; run with the name of a scenario and its arguments."""
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time


def frame(message):
    text = json.dumps(message).encode()
    return struct.pack(">I", len(text)) + text


def read_frame(sock):
    """No byte more than the frame: the next one may be behind it already."""
    def exactly(count):
        data = b""
        while len(data) < count:
            chunk = sock.recv(count - len(data))
            if not chunk:
                return None
            data += chunk
        return data
    head = exactly(4)
    body = head and exactly(struct.unpack(">I", head)[0])
    return body and json.loads(body)


class Gather:
    def __init__(self, *options):
        path = os.path.join(os.environ.get("BUILD", "build"), "libexec", "dt-gather")
        self.process = subprocess.Popen([path, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.line = self.process.stdout.readline().decode().strip()
        found = re.fullmatch(r"rendezvous 1/(.*)/(\d+)/([0-9a-f]{32})", self.line)
        if found:
            self.port, self.token = int(found.group(2)), found.group(3)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def end(self):
        code = self.process.wait(timeout=60)
        self.process.stdin.close() # or it would end this program, as an srun that waits for a lost node
        print(self.line)
        print(self.process.stderr.read().decode(), end="")
        print("exit", code)
        return code


class Node:
    def __init__(self, gather, i, count, **changes):
        self.name = "n%d" % i
        self.sock = gather.connect()
        hello = {"type": "hello", "dt": 1, "token": gather.token, "node": self.name, "nodeid": i,
                 "nodes": count, "tasks": count, "step": "7.0", "het_group": -1, "het_size": 0}
        hello.update(changes)
        self.sock.sendall(frame(hello))

    def welcome(self):
        message = read_frame(self.sock)
        assert message is None or message["type"] == "welcome", message
        return message

    def report(self, result="PASS", **facts):
        check = {"name": "memlock", "result": result, "value": "8 MiB", "limit": "16 GiB",
                 "source": "getrlimit", "next": "raise it", "message": "memlock: 8 MiB", "us": 3}
        known = {"node.name": self.name, "kernel.release": "6.1.0", "clock.offset_us": 12}
        known.update(facts)
        self.sock.sendall(frame({"type": "report", "facts": known, "checks": [check], "env": "",
                                 "port": 40000, "took_us": 5000}))

    def verdict(self):
        message = read_frame(self.sock)
        assert message is None or message["type"] == "verdict", message
        return message


def good_nodes(gather, count, ids):
    nodes = [Node(gather, i, count) for i in ids]
    for node in nodes:
        node.welcome()
    return nodes


def all_good(count, *options):
    count = int(count)
    gather = Gather("--nodes", str(count), "--job", "7.0", *options)
    nodes = good_nodes(gather, count, range(count))
    for node in nodes:
        node.report()
    start = time.monotonic()
    verdicts = [node.verdict() for node in nodes]
    took = (time.monotonic() - start) * 1000
    assert all(v["go"] and v["master_port"] == 40000 for v in verdicts), verdicts[0]
    assert verdicts[0]["components"] == [[count, count]]
    gather.end()
    print("verdict after the last report: %.1f ms" % took)
    return took


def soon(count):
    """20 ms on an idle machine. Tests share theirs, so the best of three counts."""
    took = [all_good(count)]
    while min(took) >= 200 and len(took) < 3:
        took.append(all_good(count))
    assert min(took) < 200, took


def one_failing(*options):
    gather = Gather("--nodes", "3", *options)
    nodes = good_nodes(gather, 3, range(3))
    for i, node in enumerate(nodes):
        node.report("FAIL" if i == 1 else "PASS")
    print(nodes[0].verdict())
    gather.end()


def odd_kernel():
    gather = Gather("--nodes", "4")
    nodes = good_nodes(gather, 4, range(4))
    for i, node in enumerate(nodes):
        node.report(**{"kernel.release": "5.4.0" if i == 2 else "6.1.0"})
    gather.end()


def missing(*options):
    gather = Gather("--nodes", "3", "--timeout", "0.4", *options)
    nodes = good_nodes(gather, 3, range(2))
    for node in nodes:
        node.report()
    gather.end()


def bad_peers():
    gather = Gather("--nodes", "2", "--timeout", "3") # all of it is awaited: node 1 never reports
    for raw in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", struct.pack(">I", 1 << 30) + b"x",
                struct.pack(">I", 5000), b"\0\0\0\2[]"):
        sock = gather.connect()
        sock.sendall(raw)
        start = time.monotonic()
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
        assert time.monotonic() - start < 1.8 # the hello's own deadline is 2 s
    for _ in range(3):
        assert Node(gather, 1, 2, token="0" * 32).welcome() is None
    node = good_nodes(gather, 2, [0])[0]
    node.report()
    gather.end()


def slow_peer():
    """Bytes that trickle in keep a stranger for the hello's deadline only."""
    gather = Gather("--nodes", "1", "--timeout", "30")
    sock = gather.connect()
    sock.sendall(struct.pack(">I", 4000))
    start = time.monotonic()
    while time.monotonic() - start < 20 and not select.select([sock], [], [], 0.2)[0]:
        try:
            sock.sendall(b" ")
        except OSError:
            break
    held = time.monotonic() - start
    assert 1.5 < held < 15, held
    node = good_nodes(gather, 1, [0])[0]
    node.report()
    assert node.verdict()["go"]
    gather.end()


def many_strangers():
    gather = Gather("--nodes", "1", "--timeout", "30")
    socks = [gather.connect() for _ in range(4 + 64 + 20)]
    closed, end = [], time.monotonic() + 1.5 # the others are closed after 2 s
    while len(closed) < 20 and time.monotonic() < end:
        closed = select.select(socks, [], [], 0.1)[0]
    print("closed at once", len(closed))
    for sock in socks:
        sock.close()
    node = good_nodes(gather, 1, [0])[0]
    node.report()
    gather.end()


def death(when, report):
    gather = Gather("--nodes", "3", "--timeout", "30", "--report", report)
    nodes = good_nodes(gather, 3, range(3))
    if when == "after":
        nodes[1].report()
        time.sleep(0.1)
    nodes[1].sock.close()
    time.sleep(0.1)
    start = time.monotonic()
    nodes[0].report()
    nodes[2].report()
    gather.end()
    assert time.monotonic() - start < 20, "a lost node is not waited for"


def duplicate():
    gather = Gather("--nodes", "2")
    nodes = good_nodes(gather, 2, [0, 0])
    nodes[0].report()
    time.sleep(0.3)
    nodes[1].report("FAIL")
    assert nodes[1].verdict() is None
    late = good_nodes(gather, 2, [0])[0]
    late.report("FAIL")
    assert late.verdict() is None
    other = good_nodes(gather, 2, [1])[0]
    other.report()
    assert nodes[0].verdict()["go"]
    gather.end()


def failed():
    gather = Gather("--nodes", "2")
    nodes = good_nodes(gather, 2, range(2))
    nodes[0].report()
    nodes[1].sock.sendall(frame({"type": "failed", "code": 78, "reason": "/etc/dt.conf:3: oops"}))
    assert nodes[1].verdict()["code"] == 78
    gather.end()


def explained(when):
    """dt-node of node 1 is gone, before or after its report, and all others have reported; then its plugin says
    why. Or 'early': the plugin speaks while dt-gather does not know yet that dt-node is gone."""
    gather = Gather("--nodes", "3", "--timeout", "60")
    nodes = good_nodes(gather, 3, range(3))
    nodes[0].report()
    if when != "before":
        nodes[1].report()
    if when == "before":
        nodes[2].report()
    time.sleep(0.1)
    if when != "early":
        nodes[1].sock.close()
        time.sleep(0.1)
    plugin = Node(gather, 1, 3)
    plugin.sock.sendall(frame({"type": "failed", "code": 67, "reason": "dt-node was killed by signal 11"}))
    assert plugin.welcome()
    if when != "before":
        nodes[2].report()
    print(nodes[0].verdict())
    gather.end()


def end():
    """The step ends before the verdict: srun says so on the pipe."""
    gather = Gather("--nodes", "3", "--nodelist", "n[0-2]", "--timeout", "60")
    nodes = good_nodes(gather, 3, [0])
    nodes[0].report()
    time.sleep(0.2)
    gather.process.stdin.write(b"end\n")
    gather.process.stdin.flush()
    gather.end()


def env_refused():
    gather = Gather("--nodes", "1")
    node = good_nodes(gather, 1, [0])[0]
    check = {"name": "env", "result": "FAIL", "value": "FI_PROVIDER=sockets", "limit": "rule x",
             "source": "docs", "next": "unset FI_PROVIDER", "message": "m", "us": 0}
    node.sock.sendall(frame({"type": "report", "facts": {"node.name": "n0"}, "checks": [check],
                             "env": "", "port": 0, "took_us": 1}))
    gather.end()


def bad_report():
    gather = Gather("--nodes", "2")
    nodes = good_nodes(gather, 2, range(2))
    nodes[0].report()
    nodes[1].sock.sendall(frame({"type": "report", "facts": 7, "checks": [], "env": "", "port": 0,
                                 "took_us": 1}))
    gather.end()


def srun_gone():
    gather = Gather("--nodes", "2")
    good_nodes(gather, 2, [0])
    start = time.monotonic()
    gather.process.stdin.close()
    gather.process.wait(timeout=60)
    took = time.monotonic() - start
    gather.end()
    assert took < 5, took # it would have waited for 10 s


def het():
    gather = Gather("--components", "2")
    gather.process.stdin.write(b"component 0 nodes 1 nodelist a\ncomponent 1 nodes 2 nodelist b[1-2]\n")
    gather.process.stdin.flush()
    members = [(0, 0, 1), (1, 0, 2), (1, 1, 2)]
    nodes = [Node(gather, k, n, het_group=g, het_size=2, step="%d.0" % (7 + g)) for g, k, n in members]
    for node in nodes:
        node.welcome()
        node.report()
    print(nodes[2].verdict()["components"])
    gather.end()


def ports(low):
    first = Gather("--nodes", "1", "--ports", "%s-%s" % (low, low))
    second = Gather("--nodes", "1", "--ports", "%s-%s" % (low, low))
    second.end()
    first.process.stdin.close()
    first.process.wait(timeout=60)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        print(sock.getsockname()[1])


def serve(answer, port_file):
    """A gather for one dt-node: 'go' says go, 'full' too, and wants all; 'nogo' says no-go, 'silent' never
    answers, 'leave' goes after the report, 'undecided' stays and says nothing more."""
    server = socket.create_server(("127.0.0.1", 0))
    with open(port_file + ".new", "w", encoding="ascii") as out:
        out.write(str(server.getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    server.settimeout(60)
    sock, _ = server.accept()
    hello = read_frame(sock)
    if answer == "silent":
        sock.recv(1)
        return
    sock.sendall(frame({"type": "welcome", "clock_us": int(time.time() * 1e6), "full": answer == "full"}))
    details = read_frame(sock) if answer == "full" else None
    report = read_frame(sock)
    if answer == "leave":
        return
    if answer == "undecided":
        sock.recv(1)
        return
    go = answer in ("go", "full")
    sock.sendall(frame({"type": "verdict", "go": go, "code": 0 if go else 65, "reason": "because",
                        "master_addr": "10.1.2.3", "master_port": 4321,
                        "components": [[hello["nodes"], hello["tasks"]]]}))
    with open(port_file + ".report", "w", encoding="ascii") as out:
        json.dump(report, out)
    with open(port_file + ".details", "w", encoding="ascii") as out:
        json.dump(details, out)
    sock.recv(1)


def hangs_late(directory):
    """The report file is a link that leads to a FUSE file system, which nobody answers for, once the gather has tried it."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    os.mkdir(directory)
    os.mkdir(directory + "/fsx")
    os.symlink(directory + "/before", directory + "/link")
    os.mkdir(directory + "/before")
    libc.unshare(0x00020000)
    libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None) # private, and below
    gather = Gather("--nodes", "1", "--job", "7.0", "--report", directory + "/link/r.json")
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % fuse
    assert libc.mount(b"fsx", (directory + "/fsx").encode(), b"fuse.hung", 0, options.encode()) == 0
    os.unlink(directory + "/link")
    os.symlink(directory + "/fsx", directory + "/link")
    node = good_nodes(gather, 1, range(1))[0]
    node.report()
    verdict = node.verdict()
    os.close(fuse)
    assert not verdict["go"] and verdict["code"] == 73, verdict
    gather.end()


def forge(nodes):
    """A gather that a user made himself, for all nodes of a step: whatever they report, the job is no-go, and all of
    them may drain themselves. Prints the rendezvous text that leads to it."""
    server = socket.create_server(("0.0.0.0", 0), backlog=64)
    out = subprocess.run(["ip", "-json", "-4", "address"], check=True, capture_output=True)
    addresses = [a["local"] for i in json.loads(out.stdout) for a in i["addr_info"] if a["local"] != "127.0.0.1"]
    print("1/%s/%d/%032x" % (",".join(addresses), server.getsockname()[1], 0), flush=True)
    server.settimeout(60)
    peers = []
    count = None
    while count is None or len(peers) < count:
        sock, _ = server.accept()
        hello = read_frame(sock)
        if not hello or any(name == hello["node"] for name, _ in peers):
            continue # the same node by another address
        count = hello["nodes"]
        peers.append((hello["node"], sock))
        sock.sendall(frame({"type": "welcome", "clock_us": int(time.time() * 1e6), "full": False}))
    for _, sock in peers:
        read_frame(sock)
    for _, sock in peers:
        sock.sendall(frame({"type": "verdict", "go": False, "code": 65, "reason": "forged", "master_addr": "",
                            "master_port": 0, "components": [[count, count]], "drain": nodes, "shared": ""}))
    for _, sock in peers:
        sock.recv(1)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
