"""What a distillation run needs to know, read from one TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from likeness.errors import SettingsError

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """photos: folders of images, or of WebDataset shards (`.tar`), or shards themselves.
    held_out: photos set aside to measure on; never trained on, chosen by a hash of their name.
    collages: share of the views that show four photos at once; helps where the photos are
    smaller than the input. exclude: shards or folders below `photos` whose file name matches
    one of these patterns."""

    photos: tuple[Path, ...] = ()
    held_out: int = 500
    collages: float = 0.0
    exclude: tuple[str, ...] = ("*-dev.tar",)
    workers: int = 2


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """architecture: a timm Vision Transformer with a class head; weights: its `.safetensors`.
    input_size: pixels; the position embedding is resampled when it differs from the weights'."""

    weights: Path = Path("teacher.safetensors")
    architecture: str = "vit_tiny_patch16_224"
    input_size: int = 224


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """init: `teacher` copies every tensor that fits (TinyCLIP, Wu et al. 2023; weight selection,
    Xu et al. 2024), `scratch` draws them at random, `run` takes the average of an earlier run
    (folder `run`), of which the share `blend` is replaced by the teacher's own weights (WiSE-FT,
    Wortsman et al. 2022: what fine-tuning gains without what it forgets). depth:
    blocks kept, evenly spaced over the teacher's. input_size: pixels. copy_dim: dimension of
    the vector for copies."""

    architecture: str = "vit_tiny_patch16_224"
    input_size: int = 160
    depth: int = 12
    init: Literal["teacher", "scratch", "run"] = "teacher"
    run: Path = Path("unset")
    blend: float = 0.0
    copy_dim: int = 256


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """Ends after `epochs` passes or `minutes` of training, whichever comes first; the learning
    rate falls along a half cosine over the same measure of progress. minutes = 0: no limit.
    mixup_fraction: share of steps that mix photos (class distillation only); the others show
    two edits of each photo and also train the vector for copies. head_rate: how many times
    faster the head for copies learns than the backbone."""

    epochs: float = 10.0
    minutes: float = 0.0
    batch_size: int = 64
    learning_rate: float = 6e-5
    head_rate: float = 5.0
    warmup_steps: int = 50
    weight_decay: float = 0.02
    mixup_fraction: float = 0.4
    ema_decay: float = 0.998
    gradient_clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the sum. probabilities: KL to the teacher's class probabilities. features:
    1 - cosine of the CLS features. edited: the same between the student's CLS of an edited copy
    and the teacher's of the photo before the edit. copies: InfoNCE between two edits at
    `temperature`, with `queue` earlier vectors as further negatives. spread: KoLeo entropy term
    of SSCD."""

    probabilities: float = 1.0
    features: float = 2.0
    edited: float = 0.5
    copies: float = 1.0
    spread: float = 0.2
    temperature: float = 0.05
    queue: int = 8192


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """How the student learns words. language_model: folder with all-MiniLM-L6-v2's
    model.safetensors, tokenizer.json and vocab.txt. classes: what the teacher's classes are
    called, a file that `training.words.classes` wrote. wordnet: its `data.noun`, for general
    texts; dim: of the text space. views: of each captioned photo. general_texts: WordNet's
    words and glosses that the text table is fitted to, beside captions and class names."""

    language_model: Path
    classes: Path
    wordnet: Path = Path("/usr/share/wordnet/data.noun")
    dim: int = 256
    general_texts: int = 18_000
    table_epochs: int = 8
    views: int = 3
    steps: int = 300
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """folder: where the files go that `likeness:tiny@FOLDER` loads. look: share of the class
    feature in the vector of an image, the rest being the words'. crop_pct: share of the shorter
    side that is looked at. blend: share of the student's backbone that is replaced by the
    teacher's own weights (WiSE-FT, as in StudentConfig); 0 where they do not fit."""

    folder: Path
    blend: float = 0.0
    look: float = 0.5
    crop_pct: float = 0.95


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """A whole run. output: folder for checkpoints and the log."""

    output: Path
    data: DataConfig = field(default_factory=DataConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    words: WordsConfig | None = None
    publish: PublishConfig | None = None
    device: str = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    checkpoint_minutes: float = 5.0
    evaluate_minutes: float = 15.0


def load_config(path: Path) -> DistillConfig:
    """The run that a TOML file describes; relative paths in it are relative to the file.

    Raises SettingsError naming the file and the key that is unknown, missing or of a wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    return _section(DistillConfig, table, path, "")


def _section(kind: type[Section], table: dict[str, Any], path: Path, prefix: str) -> Section:
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise SettingsError(
            f"{path}: unknown key {prefix}{unknown[0]} (known here: {', '.join(fields)})"
        )
    values: dict[str, Any] = {}
    for name, value in table.items():
        values[name] = _value(hints[name], value, path, f"{prefix}{name}")
    missing = [
        f.name
        for f in fields.values()
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise SettingsError(f"{path}: {prefix}{missing[0]} is missing")
    return kind(**values)


def _value(hint: Any, value: Any, path: Path, key: str) -> Any:
    """The TOML value as the field's type; numbers may be written without a decimal point."""
    hint = next((h for h in get_args(hint) if dataclasses.is_dataclass(h)), hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _section(hint, value, path, f"{key}.")  # type: ignore[arg-type]
    if hint is Path and isinstance(value, str):
        return path.parent / Path(value).expanduser()
    if hint == tuple[Path, ...] and isinstance(value, list):
        return tuple(path.parent / Path(str(item)).expanduser() for item in value)
    if hint == tuple[str, ...] and isinstance(value, list):
        return tuple(str(item) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str) and type(value) is hint:
        return value
    allowed = getattr(hint, "__args__", ())
    if allowed and value in allowed:
        return value
    wanted = " or ".join(map(repr, allowed)) if allowed else getattr(hint, "__name__", str(hint))
    raise SettingsError(f"{path}: {key} = {value!r} cannot be used; it takes {wanted}")
