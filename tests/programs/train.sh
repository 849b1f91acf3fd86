#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dt-train under the command that is given: 40 steps, and as result the last loss and the checkpoint's checksum.
#   train.sh srun -n4 --mpi=pmix [dt-launch --per-task --]
set -eu
saved=$(mktemp -d "$PWD/train.XXXXXX")
trap 'rm -rf "$saved"' EXIT
for i in $(seq 400); do echo "line $i of a text that repeats itself, $((i * i % 97)) times"; done >"$saved/text"
"$@" dt-train --data "$saved/text" --layers 1 --channels 16 --heads 2 --seq 16 --global-batch 16 --blas builtin \
    --steps 40 --save-every 40 --checkpoint "$saved" >"$saved/log"
loss=$(awk '$1 == 40 && $2 + 0 { print $2 }' "$saved/log")
[ -n "$loss" ]
echo "result: loss $loss checkpoint $(cat "$saved/step-00000040"/* | cksum | tr ' ' -)"
