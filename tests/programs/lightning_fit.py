# SPDX-License-Identifier: Apache-2.0
"""PyTorch Lightning on CPU with DDP on two nodes: Lightning itself finds out who has started it, torchrun or Slurm."""
import os

import pytorch_lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(pytorch_lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 1))

    def training_step(self, batch, _):
        (x,) = batch
        loss = nn.functional.mse_loss(self.layers(x), x.sum(1, keepdim=True).sin())
        self.log("loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def main():
    torch.set_num_threads(1)
    pytorch_lightning.seed_everything(0, verbose=False)
    data = DataLoader(TensorDataset(torch.randn(256, 16)), batch_size=8)
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu", strategy="ddp", num_nodes=2, devices=2, max_epochs=2,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    model = Model()
    trainer.fit(model, data)
    if trainer.is_global_zero:
        loss = trainer.callback_metrics["loss"].item()
        weights = sum(p.detach().double().sum() for p in model.parameters()).item()
        print(f"result: world {trainer.world_size} loss {loss.hex()} weights {weights.hex()}", flush=True)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # As Python ends, a thread of PyTorch 2.15 aborts a rank now and then where rank 0 serves the store, under srun alone too (seen with
    # Lightning): the program has done its work by then.
    os._exit(0)


if __name__ == "__main__":
    main()
