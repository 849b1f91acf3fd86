# SPDX-License-Identifier: Apache-2.0
"""PyTorch FSDP2 (fully_shard) on CPU: each parameter is a DTensor over all ranks. PyTorch 2.6 can not do it without a GPU yet."""
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def main():
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 1))
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    torch.manual_seed(100 + dist.get_rank())
    for _ in range(10):
        x = torch.randn(8, 16)
        loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True).sin())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    loss = loss.detach()
    shards = sum(p.detach().to_local().double().sum() for p in model.parameters())
    dist.all_reduce(loss)
    dist.all_reduce(shards)
    if dist.get_rank() == 0:
        print(f"result: world {dist.get_world_size()} loss {loss.item().hex()} weights {shards.item().hex()}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
