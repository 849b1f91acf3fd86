#!/usr/bin/env python3
"""Run a command beside file systems that never answer: hung_mount.py [--in PID,...] [--healthy DIR,...] DIR,... COMMAND...

Mounts FUSE on each DIR, reads no request, and runs the command; its exit status is handed on. Those of --healthy tell
their size as a live file system does. The mounts are made in the mount namespace of each process PID, else in that of
this program, which then should be one of its own (unshare --mount). 77: no FUSE here."""
import argparse
import ctypes
import errno
import os
import select
import struct
import subprocess
import sys

CLONE_NEWNS, MNT_DETACH = 0x20000, 2
FUSE_STATFS, FUSE_INIT = 17, 26
libc = ctypes.CDLL(None, use_errno=True)


def give_up(sentence):
    print(sentence)
    os._exit(77)


def call(what, function, *arguments):
    if function(*arguments) != 0:
        give_up(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(directory):
    """The descriptor by which its requests come."""
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        give_up(f"no FUSE here: {error}")
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    call("FUSE can not be mounted", libc.mount, b"fsx", directory.encode(), b"fuse.hung", 0, options)
    return fd


def answer(fd):
    """One request: linux/fuse.h has the structures."""
    request = os.read(fd, 1 << 17)
    opcode, unique = struct.unpack_from("=xxxxIQ", request)
    body, error = b"", 0
    if opcode == FUSE_INIT:
        body = struct.pack("=IIIIHHII8I", 7, 31, 0, 0, 0, 0, 1 << 16, 0, *[0] * 8)
    elif opcode == FUSE_STATFS:
        body = struct.pack("=5Q4I24x", 1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096, 0)
    else:
        error = -errno.ENOSYS
    os.write(fd, struct.pack("=IiQ", 16 + len(body), error, unique) + body)


def serve(healthy, end):
    while True:
        ready, _, _ = select.select([end, *healthy], [], [])
        if end in ready:
            return
        for fd in ready:
            answer(fd)


def hold(options, ready, end):
    """In a child: mount everywhere, say so, and take all away when the parent is done."""
    healthy, held = [], []
    for place in options.places:
        if place is not None:
            call("a mount namespace can not be entered", libc.setns, place, CLONE_NEWNS)
        for directory in options.hung + options.healthy:
            held.append((place, directory, mount(directory)))
            healthy += [held[-1][2]] if directory in options.healthy else []
    os.write(ready, b"!")
    serve(healthy, end)
    for place, directory, fd in held:
        os.close(fd)  # whoever still waits is let go
        if place is not None:
            libc.setns(place, CLONE_NEWNS)
        libc.umount2(directory.encode(), MNT_DETACH)


def namespaces(pids):
    return [os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY) for pid in pids.split(",")]


def directories(text):
    return text.split(",")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--in", dest="places", type=namespaces, default=[None])
parser.add_argument("--healthy", type=directories, default=[])
parser.add_argument("hung", type=directories)
parser.add_argument("command", nargs=argparse.REMAINDER)
options = parser.parse_args()
ready, said = os.pipe()
end, done = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    os.close(done)
    hold(options, said, end)
    os._exit(0)
os.close(said)
os.close(end)
status = 77
if os.read(ready, 1):
    status = subprocess.run(options.command, check=False).returncode
os.close(done)
os.waitpid(child, 0)
sys.exit(status)
