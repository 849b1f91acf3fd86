# SPDX-License-Identifier: Apache-2.0
"""JAX on CPU over all processes: data-parallel gradient descent under jit, on an array that spans the job.

jax.distributed.initialize() is called without arguments: JAX finds the job by itself.
"""
import jax

jax.config.update("jax_platforms", "cpu")
jax.distributed.initialize()

import jax.numpy as jnp  # noqa: E402 - JAX must know the job before it makes devices
import numpy as np  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402


def loss_of(weights, x):
    return jnp.mean((jnp.tanh(x @ weights["up"]) @ weights["down"] - jnp.sin(x.sum(1))) ** 2)


@jax.jit
def step(weights, x):
    loss, gradient = jax.value_and_grad(loss_of)(weights, x)
    return jax.tree.map(lambda w, g: w - 0.05 * g, weights, gradient), loss


def main():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    every, each = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    random = np.random.default_rng(0)
    weights = {"up": random.normal(size=(16, 32)).astype("f4") / 4, "down": random.normal(size=32).astype("f4") / 6}
    weights = {name: jax.make_array_from_process_local_data(every, value) for name, value in weights.items()}
    random = np.random.default_rng(100 + jax.process_index())
    for _ in range(10):
        x = jax.make_array_from_process_local_data(each, random.normal(size=(8, 16)).astype("f4"))
        weights, loss = step(weights, x)
    if jax.process_index() == 0:
        total = sum(np.asarray(value, "f8").sum() for value in weights.values())
        print(f"result: world {jax.process_count()} loss {float(loss).hex()} weights {float(total).hex()}", flush=True)


if __name__ == "__main__":
    main()
