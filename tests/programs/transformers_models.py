# Models go from transformers to dt-train and back, and stay the same function: transformers makes one, dt-train begins from it and finds
# the loss that transformers finds, trains it, exports it, finds the loss of that, and writes greedily what transformers does.
# dt-train's command is in DT_TRAIN.
import json
import os
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

SEQ, BATCH, TEXT = 16, 4, b"dt-train reads and writes what transformers writes and reads. " * 60
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=SEQ, n_embd=32, n_layer=2, n_head=4)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(
        vocab_size=256, max_position_embeddings=SEQ, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, rms_norm_eps=1e-5, rope_theta=500000.0)),
    "llama, tied": lambda: LlamaForCausalLM(LlamaConfig(
        vocab_size=256, max_position_embeddings=SEQ, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        rms_norm_eps=1e-5, tie_word_embeddings=True)),
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(
        vocab_size=256, max_position_embeddings=SEQ, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, num_local_experts=4, num_experts_per_tok=2, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=None)),
}


# The windows of dt-train's evaluation.
def loss_of(model):
    train = len(TEXT) - len(TEXT) // 10
    held = (len(TEXT) - train - 1) // SEQ
    windows = min(held, 4 * BATCH)
    places = [train + held * w // windows * SEQ for w in range(windows)]
    rows = torch.tensor([list(TEXT[p:p + SEQ + 1]) for p in places])
    with torch.no_grad():
        logits = model(rows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()


def train(folder, source, steps, rate, *more):
    log = os.path.join(folder, "log")
    if os.path.exists(log):
        os.unlink(log)
    text = subprocess.run(
        os.environ["DT_TRAIN"].split() + ["--data", folder + "/text", "--init", source, "--global-batch", str(BATCH), "--steps", str(steps),
                                          "--lr", str(rate), "--warmup", "0", "--eval-every", str(steps), "--log", log, *more],
        check=True, stdout=subprocess.PIPE).stdout
    losses = [json.loads(line).get("eval_loss") for line in open(log)]
    return [loss for loss in losses if loss is not None][-1], text


def same(what, one, two):
    if abs(one - two) > 3e-6 * abs(one):
        sys.exit(f"{what}: {one} and {two}")


def main():
    torch.manual_seed(1)
    for name, make in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            open(folder + "/text", "wb").write(TEXT)
            made = make().eval()
            for what, dtype in ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16):
                made.to(dtype).save_pretrained(folder + "/made")  # the narrow ones are what is stored from then on
                same(f"{name}, begun from {what}", loss_of(made.float()), train(folder, folder + "/made", 1, 0)[0])
            loss, text = train(folder, folder + "/made", 20, 0.01, "--export", folder + "/trained", "--generate", "12", "--temperature", "0", "--prompt", "read")
            trained = AutoModelForCausalLM.from_pretrained(folder + "/trained").eval()
            same(f"{name}, trained", loss_of(trained), loss)
            prompt = torch.tensor([list(b"read")])
            words = trained.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12, pad_token_id=0)
            if bytes(words[0].tolist()) != text.split(b"\n", 1)[-1][-17:-1]:
                sys.exit(f"{name} writes {bytes(words[0].tolist())}, and dt-train {text[-17:-1]}")
    print("result:", ", ".join(MODELS), "both ways")


main()
