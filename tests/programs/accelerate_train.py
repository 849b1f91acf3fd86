# SPDX-License-Identifier: Apache-2.0
"""A training loop of Hugging Face's accelerate on CPU: the library makes of it a DDP job by the variables it finds."""
import os

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 1))
    data = DataLoader(TensorDataset(torch.randn(256, 16)), batch_size=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model, optimizer, data = accelerator.prepare(model, optimizer, data)
    for _ in range(2):
        for (x,) in data:
            loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True).sin())
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
    loss = accelerator.gather(loss.detach().reshape(1)).double().sum().item()
    weights = sum(p.detach().double().sum() for p in model.parameters()).item()
    if accelerator.is_main_process:
        print(f"result: world {accelerator.num_processes} loss {loss.hex()} weights {weights.hex()}", flush=True)
    accelerator.wait_for_everyone()  # rank 0 has the store, and must not leave before the others
    accelerator.end_training()
    # As Python ends, a thread of PyTorch 2.15 aborts a rank now and then where rank 0 serves the store, under srun alone too (seen with
    # Lightning): the program has done its work by then.
    os._exit(0)


if __name__ == "__main__":
    main()
