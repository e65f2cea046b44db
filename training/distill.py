"""The distillation run: one photo shown to teacher and student, twice over.

Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent": the same
crop for both, mixup, no labels. Pizzi et al. 2022 (SSCD) for the vector for copies.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from likeness.encoders.tiny.network import TinyNetwork, normalise
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import DistillConfig, ScheduleConfig
from training.evaluate import HeldOutScores, held_out_views, score
from training.losses import copy_loss, feature_loss, mix, probability_loss, spread_loss
from training.photos import find_photos, split_held_out
from training.progress import Progress, Report
from training.student import make_student
from training.teacher import Teacher, read_weights
from training.views import EpochSampler, ViewDataset, ViewSizes


def run(config: DistillConfig, *, report: Report = print) -> HeldOutScores:
    """Train until the schedule ends and return the held-out scores of the averaged student.

    Takes up the run from `config.output` when a checkpoint is there. report: called with one
    line of progress at a time; the same facts go to `log.jsonl` in the output folder.
    """
    return Distillation(config, report).train()


class Distillation:
    """One run: teacher, student, its running average, optimiser, queue and step number."""

    def __init__(self, config: DistillConfig, report: Report) -> None:
        self.config, self.report = config, report
        config.output.mkdir(parents=True, exist_ok=True)
        self.device = choose_device(config.device)
        self.dtype = choose_dtype(config.precision, self.device)
        self.teacher = Teacher(config.teacher, self.device, self.dtype)
        weights = read_weights(config.teacher.weights)
        self.student = make_student(
            config.student, self.teacher.classes, weights, config.schedule.seed
        ).to(self.device)
        self.average = make_student(
            config.student, self.teacher.classes, weights, config.schedule.seed
        ).to(self.device)
        self.average.requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.student, config.schedule),
            lr=config.schedule.learning_rate,
            betas=(0.9, 0.98),
        )
        self.queue = torch.zeros(0, config.student.copy_dim, device=self.device)
        self.step, self.seconds = 0, 0.0
        photos = find_photos(config.data.photos, config.data.exclude)
        self.photos, self.held_out = split_held_out(photos, config.data.held_out)
        self.sizes = ViewSizes(config.teacher.input_size, config.student.input_size)
        per_epoch = max(1, len(self.photos) // config.schedule.batch_size)
        self.steps = max(1, round(config.schedule.epochs * per_epoch))
        self._restore()

    def train(self) -> HeldOutScores:
        """Run to the end of the schedule; see `run`."""
        config = self.config
        self.report(
            f"{len(self.photos)} photos to train on, {len(self.held_out)} held out; "
            f"step {self.step} of at most {self.steps} on {self.device} ({self.dtype})"
        )
        self._views = held_out_views(self.held_out, self.sizes)
        self._answers = self.teacher.answer(self._views.teacher)
        progress = Progress(config.output / "log.jsonl", self.report)
        began, before = time.monotonic(), self.seconds
        saved = measured = began
        if self.step == 0:
            self._measure(progress)
        for batch in self._loader():
            if self.progress >= 1.0:
                break
            progress.add(config.schedule.batch_size, self._one_step(*batch))
            self.step += 1
            now = time.monotonic()
            self.seconds = before + now - began
            if progress.due():
                progress.line(self.step, self.progress, self.seconds)
            if now - measured > config.evaluate_minutes * 60:
                self._measure(progress)
                measured = now
            if now - saved > config.checkpoint_minutes * 60:
                self.save()
                saved = now
        scores = self._measure(progress)
        self.save()
        return scores

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, by steps or by time, whichever is further."""
        limit_s = self.config.schedule.minutes * 60
        by_time = self.seconds / limit_s if limit_s else 0.0
        return min(1.0, max(self.step / self.steps, by_time))

    def learning_rate(self) -> float:
        """Linear warm-up, then a half cosine over the schedule's progress."""
        schedule = self.config.schedule
        warm = min(1.0, (self.step + 1) / max(1, schedule.warmup_steps))
        return schedule.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * self.progress))

    def save(self) -> None:
        """Write the checkpoint; a run started again continues from here."""
        save_checkpoint(
            self.config.output,
            {
                "student": self.student.state_dict(),
                "average": self.average.state_dict(),
                "network": self.student.config.as_dict(),
                "optimiser": self.optimiser.state_dict(),
                "queue": self.queue,
                "step": self.step,
                "seconds": self.seconds,
            },
        )

    def _restore(self) -> None:
        state = load_checkpoint(self.config.output)
        if state is None:
            return
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.queue = state["queue"].to(self.device)
        self.step, self.seconds = state["step"], state["seconds"]

    def _loader(self) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        schedule, workers = self.config.schedule, self.config.data.workers
        batch_size = min(schedule.batch_size, len(self.photos))
        return DataLoader(
            ViewDataset(self.photos, self.sizes, schedule.seed, self.config.data.collages),
            batch_sampler=EpochSampler(len(self.photos), batch_size, schedule.seed, self.step),
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _measure(self, progress: Progress) -> HeldOutScores:
        scores = score(self.average, self._views, *self._answers, self._autocast(), self.device)
        self.report("held out: " + " ".join(f"{k} {v:.4f}" for k, v in asdict(scores).items()))
        progress.write({"step": self.step, "held_out": asdict(scores)})
        return scores

    def _one_step(self, shown: Tensor, seen: Tensor, edited: Tensor) -> dict[str, float]:
        """One update. shown: the teacher's crops; seen: the student's; edited: their copies."""
        schedule, weights = self.config.schedule, self.config.loss
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate() * group["rate"]
        generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + self.step)
        shown, seen, edited = (normalise(t.to(self.device)) for t in (shown, seen, edited))
        self.student.train()
        if float(torch.rand((), generator=generator)) < schedule.mixup_fraction:
            share = float(torch.rand((), generator=generator))
            losses = self._mixed(mix(shown, share), mix(seen, share))
        else:
            losses = self._copies(shown, seen, edited)
        scale = {
            "probabilities": weights.probabilities,
            "mixed": weights.probabilities,
            "features": weights.features,
            "edited": weights.edited,
            "copies": weights.copies,
            "spread": weights.spread,
        }
        total = torch.stack([scale[name] * value for name, value in losses.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), schedule.gradient_clip)
        self.optimiser.step()
        update_average(self.average, self.student, schedule.ema_decay, self.step)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _mixed(self, shown: Tensor, seen: Tensor) -> dict[str, Tensor]:
        cls, logits = (t.clone() for t in self.teacher(shown))
        with self._autocast():
            own = self.student.features(seen)
            own_logits = self.student.logits(own)
        return {
            "mixed": probability_loss(own_logits, logits),
            "features": feature_loss(own.cls, cls),
        }

    def _copies(self, shown: Tensor, seen: Tensor, edited: Tensor) -> dict[str, Tensor]:
        cls, logits = (t.clone() for t in self.teacher(shown))
        with self._autocast():
            both = self.student.features(torch.cat((seen, edited)))
            own_logits = self.student.logits(both)
            vectors = self.student.copies(both)
        count = len(seen)
        first, second = vectors[:count], vectors[count:]
        losses = {
            "probabilities": probability_loss(own_logits[:count], logits),
            "features": feature_loss(both.cls[:count], cls),
            "edited": feature_loss(both.cls[count:], cls),
            "copies": copy_loss(first, second, self.queue, self.config.loss.temperature),
            "spread": spread_loss(vectors, torch.arange(count, device=vectors.device).repeat(2)),
        }
        # A photo is told from others by its plain view: one vector of each suffices.
        self.queue = torch.cat((first.detach(), self.queue))[: self.config.loss.queue]
        return losses


def choose_device(name: str) -> torch.device:
    """`auto`: a GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 on a GPU and on CPUs that multiply it, else float32."""
    if precision == "auto":
        fast = device.type != "cpu" or torch.backends.cpu.get_cpu_capability() in (
            "AVX512",
            "AMX",
        )
        precision = "bf16" if fast else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def parameter_groups(network: TinyNetwork, schedule: ScheduleConfig) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and embeddings do not. The fresh head learns faster than
    an inherited backbone: `rate` multiplies the learning rate."""
    groups: list[dict[str, Any]] = []
    for matrix in (True, False):
        for head in (True, False):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if (parameter.ndim == 2) is matrix and name.startswith("copy_head") is head
            ]
            groups.append(
                {
                    "params": chosen,
                    "weight_decay": schedule.weight_decay if matrix else 0.0,
                    "rate": schedule.head_rate if head else 1.0,
                }
            )
    return groups


@torch.no_grad()
def update_average(average: TinyNetwork, student: TinyNetwork, decay: float, step: int) -> None:
    """Exponential moving average of the weights; shorter at first, so that it forgets the start."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, now in zip(average.parameters(), student.parameters(), strict=True):
        mean.lerp_(now, 1.0 - decay)
