# SPDX-License-Identifier: Apache-2.0
"""PyTorch FSDP on CPU: parameters, gradients and optimizer state are sharded over all ranks, block by block."""
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.down(torch.tanh(self.up(self.norm(x))))


def main():
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = FullyShardedDataParallel(
        nn.Sequential(Block(16), Block(16), nn.Linear(16, 1)),
        auto_wrap_policy=ModuleWrapPolicy({Block}),
        device_id=torch.device("cpu"),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    torch.manual_seed(100 + dist.get_rank())
    for _ in range(10):
        x = torch.randn(8, 16)
        loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True).sin())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    loss = loss.detach()
    shards = sum(p.detach().double().sum() for p in model.parameters())
    dist.all_reduce(loss)
    dist.all_reduce(shards)
    if dist.get_rank() == 0:
        print(f"result: world {dist.get_world_size()} loss {loss.item().hex()} weights {shards.item().hex()}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
