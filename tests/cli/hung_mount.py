#!/usr/bin/env python3
"""Run a command beside a file system that never answers: hung_mount.py DIR COMMAND...

Mounts FUSE on DIR, reads no request, and runs the command; its exit status is handed on. To be run in a mount
namespace of its own (unshare --mount). 77: no FUSE here."""
import ctypes
import os
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
try:
    fd = os.open("/dev/fuse", os.O_RDWR)
except OSError as error:
    print(f"no FUSE here: {error}")
    sys.exit(77)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"fsx", sys.argv[1].encode(), b"fuse.hung", 0, options) != 0:
    print(f"FUSE can not be mounted: {os.strerror(ctypes.get_errno())}")
    sys.exit(77)
status = subprocess.run(sys.argv[2:], check=False).returncode
os.close(fd)  # whoever still waits is let go
sys.exit(status)
