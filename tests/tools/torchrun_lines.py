#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ranks find that a torchrun command line has started: their variables and words, line by line of a table.

  torchrun_lines.py --write workers -- /venv/bin/torchrun       what the real one gives (golden)
  torchrun_lines.py --compare workers -- torchrun               the same, compared with the golden: exactly
  torchrun_lines.py --compare workers --as-dt -- shim/torchrun  but for what dt-launch(1) says is different

"workers" has a line for each rank: name of the command line, RANK, words, variables.
"""
import argparse
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 600  # a hang; torchrun takes seconds on an idle machine, and minutes on a busy one
TABLE = os.path.join(HERE, "../fixtures/torchrun/lines")
SHOW = """import json, os, sys, tempfile
found = {"words": sys.argv[1:], "unbuffered": bool(getattr(sys.stdout, "write_through", False)), "variables": dict(os.environ)}
handle, draft = tempfile.mkstemp(dir=os.environ["SHOW_DIRECTORY"])
with os.fdopen(handle, "w") as file:
    json.dump(found, file)
os.rename(draft, draft + ".json")
"""

# dt-launch(1), CALLED AS TORCHRUN: variables that torchrun does not set.
ADDED = re.compile("NODE_RANK|JAX_.*|OMPI_COMM_WORLD_.*|CROSS_RANK|CROSS_SIZE|LOCAL_SIZE|DT_PROGRESS_FD")
# Not of a launcher, or of the shell that starts us.
OTHERS = re.compile("PATH|HOME|PWD|SHLVL|_|LC_CTYPE|SHOW_DIRECTORY|SLURM.*|PET_.*|PYTHON_EXEC|TORCH_.*CACHE.*|KMP_.*|GLIBC_.*")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def slurm_step(node, nodes):
    """The variables of task `node` of a step with one task on each node; node 0 is this machine."""
    names = "localhost,node[2-%d]" % nodes if nodes > 2 else "localhost,node2"
    return {
        "SLURM_JOB_ID": "1234", "SLURM_STEP_ID": str(os.getpid()), "SLURM_PROCID": str(node), "SLURM_LOCALID": "0", "SLURM_NODEID": str(node),
        "SLURM_NTASKS": str(nodes), "SLURM_NPROCS": str(nodes), "SLURM_STEP_NUM_TASKS": str(nodes), "SLURM_NNODES": str(nodes),
        "SLURM_STEP_NUM_NODES": str(nodes), "SLURM_STEP_TASKS_PER_NODE": "1(x%d)" % nodes, "SLURM_TASKS_PER_NODE": "1(x%d)" % nodes,
        "SLURM_STEP_NODELIST": names, "SLURMD_NODENAME": "localhost" if node == 0 else "node%d" % (node + 1),
    }


def read_table(path):
    with open(path) as file:
        for text in file:
            if text.strip() and not text.startswith("#"):
                name, agents, variables, words = (part.strip() for part in text.split("|", 3))
                yield name, int(agents), variables.split(), shlex.split(words)


def start_agent(command, node, agents, variables, words, scratch, port):
    def fill(text):
        return text.replace("PORT", str(port)).replace("NODE", str(node)).replace("DIR", scratch)

    environment = {"PATH": os.environ["PATH"], "HOME": scratch, "SHOW_DIRECTORY": os.path.join(scratch, "found")}
    for item in variables:
        key, _, value = item.partition("=")
        if key == "SLURM":
            environment.update(slurm_step(node, agents))
        else:  # the name of a PET_ variable stays as it is
            environment[key] = fill(value)
    return subprocess.Popen(command + [word if word == "--" else fill(word) for word in words], env=environment, cwd=scratch,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def tidy(key, value, scratch, port):
    """The same text in every run."""
    if key == "TORCHELASTIC_ERROR_FILE":
        return "FILE"
    value = value.replace(scratch, "DIR")
    if key == "MASTER_PORT":
        return "PORT" if value == str(port) else "29500" if value == "29500" else "FREE"
    if key == "MASTER_ADDR" and value in (socket.gethostname(), socket.getfqdn()):
        return "HOST"
    if key == "TORCHELASTIC_RUN_ID" and re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        return "UUID"
    return value


def run_line(command, agents, variables, words):
    with tempfile.TemporaryDirectory() as scratch:
        scratch, port = os.path.realpath(scratch), free_port()
        os.mkdir(os.path.join(scratch, "found"))
        for name in ("show.py", "show"):
            with open(os.path.join(scratch, name), "w") as file:
                file.write(SHOW)
        running = [start_agent(command, node, agents, variables, words, scratch, port) for node in range(agents)]
        try:
            said = [agent.communicate(timeout=PATIENCE_S)[0] for agent in running]
        except subprocess.TimeoutExpired:
            for agent in running:
                agent.terminate()
            return None, "it did not end within %d s" % PATIENCE_S
        if any(agent.returncode for agent in running):
            return None, "".join(said)
        workers = []
        for name in os.listdir(os.path.join(scratch, "found")):
            with open(os.path.join(scratch, "found", name)) as file:
                workers.append(json.load(file))
        for worker in workers:
            worker["words"] = [word.replace(scratch, "DIR") for word in worker["words"]]
            worker["variables"] = {key: tidy(key, value, scratch, port) for key, value in worker["variables"].items() if not OTHERS.fullmatch(key)}
        return workers, ""


def as_lines(name, workers):
    for worker in sorted(workers, key=lambda w: (int(w["variables"]["RANK"]), w["variables"]["GROUP_RANK"])):
        words = " ".join(map(shlex.quote, worker["words"]))
        pairs = " ".join("%s=%s" % pair for pair in sorted(worker["variables"].items()))
        yield "%s | %s | %s | %s" % (name, "unbuffered" if worker["unbuffered"] else "buffered", words, pairs)


def parse(line):
    name, unbuffered, words, pairs = line.rsplit(" | ", 3)
    return {"name": name, "output": unbuffered, "words": words, **dict(pair.split("=", 1) for pair in pairs.split(" "))}


def differences(wanted, found, as_dt, slurm):
    """Of one rank, as text. dt-launch(1), CALLED AS TORCHRUN, says what may differ; nothing that torchrun sets may be missing."""
    texts = []
    for key in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(key), found.get(key)
        if one == other:
            continue
        if as_dt and (
            (one is None and ADDED.fullmatch(key))
            or (other is None and key == "TORCHELASTIC_SIGNALS_TO_HANDLE")
            or (key == "MASTER_ADDR" and other and (slurm or {one, other} <= {"HOST", "localhost", "127.0.0.1"}))
            or (key == "MASTER_PORT" and other and (one in ("FREE", "29500") or slurm))
            or (key == "output" and other == "unbuffered")
            or (key == "TORCHELASTIC_RUN_ID" and other and (one == "UUID" or slurm))
        ):
            continue
        texts.append("%s: wanted %s, found %s" % (key, one, other))
    return texts


def compare(name, wanted, found, as_dt, slurm):
    """How many ranks differ, which is said."""
    if len(wanted) != len(found):
        print("%s: wanted %d ranks, found %d" % (name, len(wanted), len(found)))
        return 1
    texts = [differences(parse(one), parse(other), as_dt, slurm) for one, other in zip(wanted, found)]
    for rank, text in enumerate(texts):
        if text:
            print("%s, rank %d: %s" % (name, rank, "; ".join(text)))
    return sum(map(bool, texts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--write")
    parser.add_argument("--compare")
    parser.add_argument("--as-dt", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--table", default=TABLE)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if "/" in options.command[0]:
        options.command[0] = os.path.abspath(options.command[0])
    elif not shutil.which(options.command[0]):
        sys.exit("%s is not there" % options.command[0])
    golden, written, wrong, count = {}, [], 0, 0
    if options.compare:
        with open(options.compare) as file:
            for text in file.read().splitlines():
                golden.setdefault(text.split(" | ", 1)[0], []).append(text)
    for name, agents, variables, words in read_table(options.table):
        if options.only and not re.fullmatch(options.only, name):
            continue
        count += 1
        workers, said = run_line(options.command, agents, variables, words)
        if workers is None:
            wrong += 1
            print("%s: failed: %s" % (name, said))
            continue
        lines = list(as_lines(name, workers))
        written += lines
        if not options.compare:
            continue
        wrong += compare(name, golden.get(name, []), lines, options.as_dt, "SLURM" in variables) > 0
    if options.write:
        with open(options.write, "w") as file:
            file.write("".join(line + "\n" for line in written))
    print("%d command lines, %d wrong" % (count, wrong))
    sys.exit(wrong > 0 or count == 0)


if __name__ == "__main__":
    main()
