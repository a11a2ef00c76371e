"""optcore.torch under two trainers that own the loop: Hugging Face's Trainer and Lightning's.

    pip install optcore transformers accelerate lightning torch
    python examples/torch_trainers.py

Both train small random models on made-up data, with nothing downloaded: the Trainer with gradient accumulation,
clipping, a schedule and a checkpoint from which it goes on; Lightning with its own automatic loop. Each run is made
with torch.optim.AdamW too, and the losses stand side by side.
"""
from __future__ import annotations

import tempfile
import warnings

import lightning as L
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import optcore.torch


class Counting(torch.utils.data.Dataset):
    """Sequences that count up from a random number: what comes next can be learned."""

    def __init__(self, n=128, length=16, words=31):
        starts = torch.randint(words, (n, 1), generator=torch.Generator().manual_seed(1))
        self.rows = (starts + torch.arange(length)) % words

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"input_ids": self.rows[i], "labels": self.rows[i]}


def hugging_face(cls):
    """Losses of a run that was stopped half way and went on from its checkpoint."""
    def trainer(folder, epochs):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=31, n_positions=16, n_embd=32, n_layer=2, n_head=2,
                                           bos_token_id=0, eos_token_id=0))
        arguments = TrainingArguments(
            folder, num_train_epochs=epochs, per_device_train_batch_size=16, gradient_accumulation_steps=2,
            max_grad_norm=1.0, lr_scheduler_type="constant_with_warmup", warmup_steps=4, logging_steps=4,
            save_steps=8, use_cpu=True, report_to=[], disable_tqdm=True, seed=0)
        return Trainer(model=model, args=arguments, train_dataset=Counting(),
                       optimizer_cls_and_kwargs=(cls, {"lr": 3e-3, "weight_decay": 0.01}))

    with tempfile.TemporaryDirectory() as folder:
        trainer(folder, epochs=2).train()
        second = trainer(folder, epochs=8)
        second.train(resume_from_checkpoint=True)
        return [entry["loss"] for entry in second.state.log_history if "loss" in entry]


class Regression(L.LightningModule):
    def __init__(self, cls):
        super().__init__()
        torch.manual_seed(0)
        self.cls, self.losses = cls, []
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))

    def training_step(self, batch, _):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.net(x), y)
        self.losses.append(float(loss.detach()))
        return loss

    def configure_optimizers(self):
        opt = self.cls(self.parameters(), lr=1e-2)
        return [opt], [torch.optim.lr_scheduler.CosineAnnealingLR(opt, 10)]


def lightning(cls):
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(2))
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.square().sum(1, keepdim=True)), 32)
    module = Regression(cls)
    L.Trainer(max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
              enable_model_summary=False, gradient_clip_val=1.0).fit(module, data)
    return module.losses[::8]


def main():
    warnings.filterwarnings("ignore", "The 'train_dataloader' does not have many workers")
    for name, run in (("Hugging Face Trainer", hugging_face), ("Lightning", lightning)):
        ours, theirs = run(optcore.torch.AdamW), run(torch.optim.AdamW)
        print(f"{name}\n  optcore.torch.AdamW: {' '.join(f'{x:.4f}' for x in ours)}\n"
              f"  torch.optim.AdamW:   {' '.join(f'{x:.4f}' for x in theirs)}")
        assert ours[-1] < 0.5 * ours[0], "it did not learn"
        # Two float32 arithmetics of one run: they part slowly, by what the losses' own rounding is worth at first.
        assert all(abs(a - b) <= 0.01 * b + 1e-3 for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
