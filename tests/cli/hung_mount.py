#!/usr/bin/env python3
"""Run a command beside a file system that never answers: hung_mount.py [--in PID,...] DIR COMMAND...

Mounts FUSE on DIR, reads no request, and runs the command; its exit status is handed on. The mount is made in
the mount namespace of each process PID, else in that of this program, which then should be one of its own
(unshare --mount). 77: no FUSE here."""
import ctypes
import os
import subprocess
import sys

CLONE_NEWNS, MNT_DETACH = 0x20000, 2
libc = ctypes.CDLL(None, use_errno=True)


def give_up(sentence):
    print(sentence)
    os._exit(77)


def call(what, function, *arguments):
    if function(*arguments) != 0:
        give_up(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(directory):
    """The descriptor that nobody reads."""
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        give_up(f"no FUSE here: {error}")
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    call("FUSE can not be mounted", libc.mount, b"fsx", directory, b"fuse.hung", 0, options)
    return fd


def hold(places, directory, ready, end):
    """In a child: mount everywhere, say so, and take all away when the parent is done."""
    held = []
    for place in places:
        if place is not None:
            call("a mount namespace can not be entered", libc.setns, place, CLONE_NEWNS)
        held.append((place, mount(directory)))
    os.write(ready, b"!")
    os.read(end, 1)
    for place, fd in held:
        os.close(fd)  # whoever still waits is let go
        if place is not None:
            libc.setns(place, CLONE_NEWNS)
        libc.umount2(directory, MNT_DETACH)


arguments = sys.argv[1:]
places = [None]
if arguments[0] == "--in":
    places = [os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY) for pid in arguments[1].split(",")]
    arguments = arguments[2:]
ready, said = os.pipe()
end, done = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    os.close(done)
    hold(places, arguments[0].encode(), said, end)
    os._exit(0)
os.close(said)
os.close(end)
status = 77
if os.read(ready, 1):
    status = subprocess.run(arguments[1:], check=False).returncode
os.close(done)
os.waitpid(child, 0)
sys.exit(status)
