#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program that takes long to start from a slow file system, as large frameworks do.

slow_start.py make DIR MODULES MIB    write it: so many modules, and so much of libraries
slow_start.py run DIR                 import all, touch each page of the libraries once, in no order, as relocations do,
                                      and tell how long it took; with SLOW_START_STAY stay until dt-launch has looked once more"""
import compileall
import importlib
import mmap
import os
import random
import sys
import time

LIBRARIES = 4
began = time.monotonic()
directory = sys.argv[2]
package = os.path.join(directory, "slow_package")
if sys.argv[1] == "make":
    os.makedirs(package, exist_ok=True)
    for i in range(int(sys.argv[3])):
        with open(os.path.join(package, f"module{i}.py"), "w") as file:
            file.write("".join(f"def function{k}(x):\n    return x + {k}\n" for k in range(40)))
    with open(os.path.join(package, "__init__.py"), "w") as file:
        file.write("")
    compileall.compile_dir(package, quiet=1)
    for i in range(LIBRARIES):
        with open(os.path.join(directory, f"library{i}.so"), "wb") as file:
            for _ in range(int(sys.argv[4]) // LIBRARIES):
                file.write(os.urandom(1 << 20))
    sys.exit()
sys.path.insert(0, directory)
for name in sorted(os.listdir(package)):
    if name.startswith("module"):
        importlib.import_module("slow_package." + name[:-3])
maps = []
for i in range(LIBRARIES):
    with open(os.path.join(directory, f"library{i}.so"), "rb") as file:
        maps.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    pages = list(range(0, len(maps[-1]), mmap.PAGESIZE))
    random.Random(i).shuffle(pages)
    for page in pages:
        maps[-1][page]
took = time.monotonic() - began
print(f"started in {took:.3f} s", flush=True)
if "SLOW_START_STAY" in os.environ:  # it looks 1, 2, 4 ... s after the start
    time.sleep(3 + 2 * took)
