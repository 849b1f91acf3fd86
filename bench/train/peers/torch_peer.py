#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch on dt-train's bench model, tuned: the best BLAS it was built with, fused AdamW, fused
attention, vocabulary rounded up to a multiple of 64. One process of bench-train's contestants: reads
a number of steps from standard input, makes them, writes their median in milliseconds; again until
the input ends.

  torch_peer.py MODE VOCAB      MODE: single, single-bf16, ddp, fsdp
"""
import contextlib
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

LAYERS, CHANNELS, HEADS, SEQ, BATCH = 6, 384, 6, 256, 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.projection = nn.Linear(CHANNELS, CHANNELS)
        self.norm2 = nn.LayerNorm(CHANNELS)
        self.up = nn.Linear(CHANNELS, 4 * CHANNELS)
        self.down = nn.Linear(4 * CHANNELS, CHANNELS)

    def forward(self, x):
        batch, time_, channels = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(channels, dim=2)
        q, k, v = (t.view(batch, time_, HEADS, channels // HEADS).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(y.transpose(1, 2).reshape(batch, time_, channels))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.tokens = nn.Embedding(vocab, CHANNELS)
        self.positions = nn.Embedding(SEQ, CHANNELS)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(CHANNELS)
        self.head = nn.Linear(CHANNELS, vocab, bias=False)
        self.head.weight = self.tokens.weight
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions(torch.arange(SEQ))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)).float(), targets.view(-1))


def wrap(mode, model):
    if mode == "ddp":
        return nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    if mode == "fsdp":
        from torch.distributed.fsdp import FullyShardedDataParallel
        from torch.distributed.fsdp.wrap import ModuleWrapPolicy
        return FullyShardedDataParallel(model, auto_wrap_policy=ModuleWrapPolicy({Block}),
                                        device_id=torch.device("cpu"))
    return model


def main():
    mode, vocab = sys.argv[1], int(sys.argv[2])
    size = int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if size > 1:
        torch.distributed.init_process_group("gloo")
        torch.distributed.barrier()
    print("ready", flush=True)
    torch.manual_seed(1)
    model = wrap(mode, Model((vocab + 63) // 64 * 64))
    adamw = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    half = torch.autocast("cpu", torch.bfloat16) if mode == "single-bf16" else contextlib.nullcontext()
    tokens = torch.randint(vocab, (BATCH // size, SEQ))
    targets = torch.randint(vocab, (BATCH // size, SEQ))

    def step():
        begin = time.perf_counter()
        with half:
            loss = model(tokens, targets)
        loss.backward()
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        loss.item()
        return 1e3 * (time.perf_counter() - begin)

    for line in sys.stdin:
        print(statistics.median(step() for _ in range(int(line))), flush=True)


main()
