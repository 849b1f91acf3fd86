#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes topologies of machines that nobody has in one place: tests/corpus/generate.py DIR.

hwloc XML as lstopo writes it, NCCL XML as NCCL reads it. Each machine is a few numbers, below; nothing is
copied from a real machine's file. EC2 types need no file: dt has them in its instance table.
"""
import os
import sys


def mask(cpus):
    """hwloc's text of a set: words of 32 bits, the highest first."""
    words = {}
    for cpu in cpus:
        words[cpu // 32] = words.get(cpu // 32, 0) | 1 << cpu % 32
    top = max(words, default=0)
    return ",".join(f"0x{words.get(w, 0):08x}" for w in range(top, -1, -1))


def sets(cpus, nodes):
    """The sets that hwloc wants on each object."""
    return "".join(f' {k}{name}="{mask(v)}"' for name, v in (("cpuset", cpus), ("nodeset", nodes)) for k in ("", "complete_"))


class Machine:
    """packages x nodes x cores x threads, numbered as Linux does on x86; devices hang on NUMA nodes."""

    def __init__(self, packages=2, nodes=1, cores=4, threads=2, io=True):
        self.packages, self.nodes, self.cores, self.threads, self.io = packages, nodes, cores, threads, io
        self.offline = set()
        self.memory_only = []  # (os index, subtype)
        self.switches = []     # (node, [device, ...]); a device is (bdf, pci type, [os device lines])
        self.distances = None
        self.serial = 0

    @property
    def core_count(self):
        return self.packages * self.nodes * self.cores

    def pus(self, core):
        return [core + t * self.core_count for t in range(self.threads) if core + t * self.core_count not in self.offline]

    def core_range(self, package, node):
        first = (package * self.nodes + node) * self.cores
        return range(first, first + self.cores)

    def cpus(self, package, node=None):
        nodes = range(self.nodes) if node is None else [node]
        return [p for n in nodes for c in self.core_range(package, n) for p in self.pus(c)]

    def gpu(self, bdf, uuid=True, vendor="10de", kind="0302", model="Model G"):
        self.serial += 1
        lines = []
        if uuid:
            lines = [f'<object type="OSDev" name="nvml{self.serial - 1}" subtype="NVML" osdev_type="1">',
                     '<info name="GPUVendor" value="NVIDIA Corporation"/>', f'<info name="GPUModel" value="{model}"/>',
                     f'<info name="NVIDIAUUID" value="GPU-00000000-0000-4000-8000-{self.serial:012x}"/>', "</object>"]
        return bdf, f"{kind} [{vendor}:2330] [{vendor}:0000] a1", lines

    def nic(self, bdf, name, vendor="1d0f", device="efa1"):
        return bdf, f"0200 [{vendor}:{device}] [{vendor}:{device}] 00", [
            f'<object type="OSDev" name="{name}" osdev_type="3"/>']

    def write(self, out):
        everything = [p for k in range(self.packages) for p in self.cpus(k)]
        out.append('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE topology SYSTEM "hwloc2.dtd">')
        out.append('<topology version="2.0">')
        nodes = list(range(self.packages * self.nodes)) + [index for index, _ in self.memory_only]
        out.append(f'<object type="Machine" os_index="0"{sets(everything, nodes)}>')
        out.append('<info name="DMIProductName" value="generated"/>')
        for index, subtype in self.memory_only:
            out.append(f'<object type="NUMANode" os_index="{index}" subtype="{subtype}"{sets([], [index])} local_memory="17179869184"/>')
        for package in range(self.packages):
            self.write_package(out, package)
        out.append("</object>")
        if self.distances:
            count = len(self.distances)
            indexes = " ".join(str(i) for i in range(count))
            out.append(f'<distances2 type="NUMANode" nbobjs="{count}" kind="5" name="NUMALatency" indexing="os">')
            out.append(f'<indexes length="{len(indexes)}">{indexes}</indexes>')
            for row in self.distances:
                text = " ".join(str(v) for v in row)
                out.append(f'<u64values length="{len(text)}">{text}</u64values>')
            out.append("</distances2>")
        out.append("</topology>")

    def write_package(self, out, package):
        if not self.cpus(package):
            return
        nodes = range(package * self.nodes, (package + 1) * self.nodes)
        out.append(f'<object type="Package" os_index="{package}"{sets(self.cpus(package), nodes)}>')
        for node in range(self.nodes):
            cpus, here = self.cpus(package, node), [package * self.nodes + node]
            grouped = self.nodes > 1
            if grouped:
                out.append(f'<object type="Group"{sets(cpus, here)} kind="0" subkind="0">')
            out.append(f'<object type="NUMANode" os_index="{here[0]}"{sets(cpus, here)} local_memory="68719476736"/>')
            for core in self.core_range(package, node):
                if self.pus(core):
                    out.append(f'<object type="Core" os_index="{core}"{sets(self.pus(core), here)}>')
                    out += [f'<object type="PU" os_index="{p}"{sets([p], here)}/>' for p in self.pus(core)]
                    out.append("</object>")
            if self.io:
                self.write_devices(out, package * self.nodes + node)
            if grouped:
                out.append("</object>")
        out.append("</object>")

    def write_devices(self, out, node):
        for number, (home, devices) in enumerate(self.switches):
            if home != node:
                continue
            bus = 0x10 + number
            out.append(f'<object type="Bridge" bridge_type="0-1" depth="0" bridge_pci="0000:[{bus:02x}-{bus:02x}]">')
            out.append(f'<object type="Bridge" bridge_type="1-1" depth="1" pci_busid="0000:{bus:02x}:00.0" pci_type="0604 [1d0f:0200] [0000:0000] 00" bridge_pci="0000:[{bus:02x}-{bus:02x}]" pci_link_speed="0.0">')
            for bdf, pci_type, lines in devices:
                out.append(f'<object type="PCIDev" pci_busid="{bdf}" pci_type="{pci_type}" pci_link_speed="0.0">')
                out += lines + ["</object>"]
            out.append("</object></object>")


def with_switches(machine, per_node, gpus, nics, uuid=True):
    """per_node switches on each NUMA node, with gpus and nics each."""
    for node in range(machine.packages * machine.nodes):
        for _ in range(per_node):
            bus = 0x10 + len(machine.switches)
            devices = [machine.gpu(f"0000:{bus:02x}:{0x10 + g:02x}.0", uuid) for g in range(gpus)]
            devices += [machine.nic(f"0000:{bus:02x}:{n + 1:02x}.0", f"rdmap{bus}s{n + 1}") for n in range(nics)]
            machine.switches.append((node, devices))
    return machine


def machines():
    yield "one-pu", Machine(packages=1, cores=1, threads=1)
    yield "no-io", Machine(io=False)
    yield "one-switch-a-gpu", with_switches(Machine(cores=12), 4, 1, 4)
    yield "two-gpus-a-switch", with_switches(Machine(cores=12), 2, 2, 1)
    yield "sixteen-gpus", with_switches(Machine(cores=24), 4, 2, 2)
    yield "no-uuid", with_switches(Machine(cores=6), 2, 1, 1, uuid=False)
    yield "snc4", with_switches(Machine(nodes=4, cores=7), 1, 1, 1)
    yield "smt8", with_switches(Machine(cores=5, threads=8), 1, 2, 1)
    yield "big", with_switches(Machine(packages=8, nodes=4, cores=16), 1, 1, 1)
    yield "no-smt", with_switches(Machine(nodes=2, cores=9, threads=1), 1, 1, 0)

    offline = with_switches(Machine(cores=8), 2, 1, 1)
    offline.offline = {0, 3, 17, 18, 25} | set(range(24, 32))
    yield "offline-cpus", offline

    # GPUs on half of the nodes, NICs to spare, and the board's own video
    spare = Machine(nodes=4, cores=8)
    for node in (1, 2, 6, 7):
        bus = 0x10 + len(spare.switches)
        spare.switches.append((node, [spare.gpu(f"0000:{bus:02x}:10.0"), spare.nic(f"0000:{bus:02x}:01.0", f"mlx5_{node}", "15b3", "1021")]))
    spare.switches.append((3, [spare.nic("0000:14:01.0", "mlx5_8", "15b3", "101f"), spare.nic("0000:14:01.1", "mlx5_9", "15b3", "101f")]))
    spare.switches.append((0, [spare.gpu("0000:15:00.0", uuid=False, vendor="1a03", kind="0300")]))
    spare.distances = [[10 if a == b else 12 if a // 4 == b // 4 else 32 for b in range(8)] for a in range(8)]
    yield "spare-nics", spare

    # memory of GPUs as NUMA nodes without CPUs, listed before the others
    gpu_memory = with_switches(Machine(packages=2, cores=10, threads=4), 1, 2, 1)
    gpu_memory.memory_only = [(255, "GPUMemory"), (254, "GPUMemory"), (253, "")]
    yield "gpu-memory-nodes", gpu_memory

    # all devices on the machine's outside: no NUMA node for any
    lost = Machine(cores=6)
    text = []
    with_switches(lost, 1, 2, 1).write(text)
    yield "placeless", outside(text)


def outside(text):
    """The devices moved from their packages to the machine, as where firmware tells no locality."""
    kept, devices, depth = [], [], 0
    for line in text:
        if line.startswith('<object type="Bridge" bridge_type="0-1"'):
            depth = 1
        (devices if depth else kept).append(line)
        if depth and line == "</object></object>":
            depth = 0
    end = len(kept) - 1 - kept[::-1].index("</object>")
    return kept[:end] + devices + kept[end:]


def nccl(nodes, switches):
    """nodes: [mask text]; switches: [(node, [(bdf, class, vendor)])]"""
    out = ['<system version="1">']
    for node, affinity in enumerate(nodes):
        out.append(f'<cpu numaid="{node}" affinity="{affinity}" arch="x86_64" vendor="AuthenticAMD">')
        for number, (home, devices) in enumerate(switches):
            if home != node:
                continue
            out.append(f'<pci busid="ffff:ff:{number:02x}.0" class="0x060400">')
            out += [f'<pci busid="{b}" class="{c}" vendor="{v}" link_width="16"/>' for b, c, v in devices]
            out.append("</pci>")
        out.append("</cpu>")
    return out + ["</system>"]


def nccl_machines():
    gpu, nic = ("0x030200", "0x10de"), ("0x020000", "0x1d0f")
    four = [(s // 2, [(f"0000:{s:02x}:1c.0", *gpu), (f"0000:{s:02x}:1d.0", *gpu), (f"0000:{s:02x}:1b.0", *nic)]) for s in range(4)]
    yield "nccl-threads", nccl(["000000ff,00ff", "0000ff00,ff00"], [])
    yield "nccl-four-switches", nccl(["00ff00ff", "ff00ff00"], four)
    yield "nccl-dump", ['<system version="1"><cpu numaid="0" affinity="ffff" arch="x86_64">',
                        '<pci busid="0000:01:00.0" class="0x030200"><gpu dev="0" sm="90" rank="0"><nvlink target="0000:02:00.0" count="18"/></gpu></pci>',
                        '<pci busid="0000:02:00.0" class="0x030200"><gpu dev="1" sm="90" rank="1"/></pci>',
                        '<nic><net name="eth0" dev="0"/></nic>',
                        '<pci busid="0000:03:00.0" class="0x020700"><nic><net name="mlx5_0" dev="1" speed="400000"/></nic></pci></cpu></system>']


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: generate.py DIR")
    os.makedirs(sys.argv[1], exist_ok=True)
    texts = dict(nccl_machines())
    for name, machine in machines():
        if isinstance(machine, Machine):
            texts[name] = []
            machine.write(texts[name])
        else:
            texts[name] = machine
    for name, lines in texts.items():
        lines = [line.replace("<object ", f'<object gp_index="{number}" ') for number, line in enumerate(lines, 1)]
        with open(os.path.join(sys.argv[1], name + ".xml"), "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
