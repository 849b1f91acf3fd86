# SPDX-License-Identifier: Apache-2.0
# Does a rank have what the plan says? Reads dt-node's plan, the environment that the rank really had
# (/proc/PID/environ), and the user's own variables, and says what differs.
#
#   environ_is_plan.py PLAN LOCAL_RANK ENVIRON [NAME=VALUE ...]
import sys
from urllib.parse import unquote

FAMILIES = ("FI_", "NCCL_", "OFI_NCCL_", "RDMAV_", "NEURON_", "TORCH_NCCL_", "OPENBLAS_", "OMP_", "UCX_")


def read_environ(path):
    with open(path, "rb") as file:
        items = file.read().decode().split("\0")
    return dict(item.split("=", 1) for item in items if "=" in item)


def apply(plan, rank, environ):
    """The environment after the rules' lines for this rank, and what DT_ENV_APPLIED must name."""
    applied = []
    for line in plan:
        words = line.rstrip("\n").split(" ")
        if words[0] == "all":
            words = words[1:]
        elif words[:2] == ["rank", rank]:
            words = words[2:]
        else:
            continue
        name = words[1]
        if words[0] in ("env-set", "env-default", "default", "bind-default"):
            if words[0] != "env-set" and name in environ:
                continue
            environ[name] = unquote(words[2])
            if words[0].startswith("env-"):
                applied.append(name)
        elif words[0] == "env-unset" and environ.pop(name, None) is not None:
            applied.append("-" + name)
    return applied


def main():
    plan, rank, real_path, *user = sys.argv[1:]
    real = read_environ(real_path)
    expected = dict(item.split("=", 1) for item in user)
    with open(plan) as file:
        lines = file.readlines()
    if lines[0] != "dt-plan 1\n" or lines[-1] != "end\n":
        sys.exit("%s is no plan" % plan)
    names = {line.split(" ")[-2 if " env-unset " not in line else -1].rstrip("\n") for line in lines if " env-" in line}
    if "DT_BIND_CPUS" not in real:  # a step without binding; dt-node's dry run always binds
        lines = [line for line in lines if " bind-default " not in line]
    applied = apply(lines, rank, expected)
    wrong = []
    for name in sorted(set(expected) | names | {n for n in real if n.startswith(FAMILIES)}):
        if name in ("MASTER_ADDR", "MASTER_PORT"):
            continue
        if real.get(name) != expected.get(name):
            wrong.append("%s is %r, expected %r" % (name, real.get(name), expected.get(name)))
    if real.get("DT_ENV_APPLIED") != ",".join(applied):
        wrong.append("DT_ENV_APPLIED is %r, expected %r" % (real.get("DT_ENV_APPLIED"), ",".join(applied)))
    if wrong:
        sys.exit("%s: local rank %s: %s" % (real_path, rank, "; ".join(wrong)))
    print("%s: as planned, %d set, %d kept" % (real_path, len(applied), len(user)))


main()
