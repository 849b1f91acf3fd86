# SPDX-License-Identifier: Apache-2.0
"""What a rank finds of a configuration file of accelerate: the variables of FSDP, and the precision."""
import os

if os.environ["RANK"] == "0":
    names = [name for name in os.environ if name.startswith("FSDP_") or name in ("ACCELERATE_USE_FSDP", "ACCELERATE_MIXED_PRECISION")]
    print("result: world", os.environ["WORLD_SIZE"], *(f"{name}={os.environ[name]}" for name in sorted(names)), flush=True)
