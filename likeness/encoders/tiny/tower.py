"""`likeness:tiny` and `likeness:tiny-copy`: the model that ships with the product.

One ViT, two encoders. `tiny` answers words and look: its vector is the class feature beside the
projection to the text space, so that images compare by both and words by the second alone.
`tiny-copy` finds edited copies, by a head trained for it. The files beside this module:
`tiny.json` (shape, weights of the parts, checksums), `tiny.safetensors` (both heads and the ViT,
float16), `text.safetensors` and `vocabulary.txt` (the text tower).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from likeness.encoders.attention import first_row
from likeness.encoders.checkpoint import load_error_mismatches
from likeness.encoders.interface import LoadRequest
from likeness.encoders.preprocess import Preprocess
from likeness.encoders.records import EncoderRecord
from likeness.encoders.tiny.network import NetworkConfig, TinyNetwork
from likeness.encoders.tiny.text import TextTower
from likeness.encoders.torch_tower import TorchTower
from likeness.errors import NoTextTower, WeightsMismatch, WeightsNotFound, WeightsUnreadable
from likeness.types import Embeddings

FOLDER = Path(__file__).parent
WEIGHTS, TEXT, VOCABULARY, MANIFEST = (
    "tiny.safetensors",
    "text.safetensors",
    "vocabulary.txt",
    "tiny.json",
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`tiny.json`. look: share (squared length) of the class feature in `tiny`'s vector, the rest
    is the projection to the text space. files: SHA-256 of the others by name."""

    network: NetworkConfig
    preprocess: Preprocess
    look: float
    files: Mapping[str, str]
    version: int = 1

    @classmethod
    def read(cls, folder: Path, encoder: str) -> Manifest:
        """Raises WeightsNotFound when the folder has none, WeightsUnreadable when damaged."""
        path = folder / MANIFEST
        if not path.is_file():
            raise WeightsNotFound(encoder, MANIFEST, [f"{path}: not there"])
        try:
            facts = json.loads(path.read_text("utf-8"))
            prepared: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in facts["preprocess"].items()
            }
            return cls(
                NetworkConfig(**facts["network"]),
                Preprocess(**prepared),
                float(facts["look"]),
                dict(facts["files"]),
                int(facts["version"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsUnreadable(str(path), f"{type(error).__name__}: {error}") from error

    def write(self, folder: Path) -> None:
        """Make this the folder's manifest."""
        facts = {
            "version": self.version,
            "network": self.network.as_dict(),
            "preprocess": asdict(self.preprocess),
            "look": self.look,
            "files": dict(self.files),
        }
        (folder / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


class TinyTower(TorchTower):
    """What both encoders share. Heads stay in float32: they cost nothing and keep ranks exact."""

    model: TinyNetwork

    def __init__(
        self, record: EncoderRecord, request: LoadRequest, network: TinyNetwork, manifest: Manifest
    ) -> None:
        heads = {
            name: {key: tensor.float().clone() for key, tensor in head.state_dict().items()}
            for name, head in network.named_children()
            if name != "backbone"
        }
        side = network.config.input_size // int(network.backbone.patch_embed.patch_size[0])
        super().__init__(
            record,
            request,
            network,
            manifest.preprocess,
            patch_grid=(side, side),
            heads=int(network.backbone.blocks[-1].attn.num_heads),
            attention_from="cls",
        )
        for name, state in heads.items():
            network.get_submodule(name).float().load_state_dict(state)

    def class_probabilities(self, images: Sequence[Any]) -> npt.NDArray[np.float32]:
        """What the class head makes of images: float32 [n, classes], rows sum to 1."""
        return self._in_batches(
            lambda pixels: self.model.logits(self.model.features(pixels)).float().softmax(-1),
            self.preprocess.batch(images),
        )

    def _patch_tokens(self, pixels: Tensor) -> Tensor:
        return self.model.features(pixels).patches

    def _attention(self, pixels: Tensor) -> Tensor:
        backbone = self.model.backbone
        return first_row(backbone, backbone.blocks[-1].attn, pixels)[:, :, 1:]


class TinyWords(TinyTower):
    """`likeness:tiny`: words and look. Vector: [√look · class feature, √(1-look) · words].

    The class feature alone where the model has no text tower."""

    def __init__(
        self,
        record: EncoderRecord,
        request: LoadRequest,
        network: TinyNetwork,
        manifest: Manifest,
        text: TextFiles | None,
    ) -> None:
        super().__init__(record, request, network, manifest)
        self._look, self._text = manifest.look, text.tower if text else None
        if text is not None:
            network.class_words = torch.from_numpy(text.class_words).to(self.spec.device)
        digests = [digest for name, digest in sorted(manifest.files.items()) if name != WEIGHTS]
        whole = "\n".join((self.fingerprint, str(manifest.look), *digests))
        self.fingerprint = hashlib.sha256(whole.encode()).hexdigest()

    def _features(self, pixels: Tensor) -> Tensor:
        features = self.model.features(pixels)
        look = functional.normalize(features.cls.float(), dim=-1)
        if self._text is None:
            return look
        words = self.model.words(features)
        return torch.cat((look * self._look**0.5, words * (1 - self._look) ** 0.5), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """[0, words]: float32 [n, d], L2 norm 1. Scores against images are at most √(1-look)."""
        if self._text is None:
            raise NoTextTower(self.spec.name)
        words = self._text.embed(texts)
        out = np.zeros((len(words), self.spec.dim), np.float32)
        out[:, self.spec.dim - words.shape[1] :] = words
        return out


class TinyCopies(TinyTower):
    """`likeness:tiny-copy`: edited copies."""

    def _features(self, pixels: Tensor) -> Tensor:
        return self.model.copies(self.model.features(pixels))


def load(record: EncoderRecord, request: LoadRequest) -> TinyTower:
    """The encoder of a record, from the files beside this module or from the folder behind `@`.

    Raises WeightsNotFound, WeightsUnreadable (a file that is not the one the manifest names
    included) and WeightsMismatch.
    """
    folder = request.weights_path or FOLDER
    manifest = Manifest.read(folder, record.name)
    network = _network(record, request, folder, manifest)
    width, dims = int(network.backbone.num_features), manifest.network
    if record.name.endswith("copy"):
        return TinyCopies(replace(record, dim=dims.copy_dim), request, network, manifest)
    text = read_text_files(folder, manifest) if dims.text_dim else None
    record = replace(
        record,
        dim=width + dims.text_dim,
        text_parameters=record.text_parameters if text else 0,
    )
    return TinyWords(record, request, network, manifest, text)


@dataclass(frozen=True, slots=True)
class TextFiles:
    """tower: words to vectors. class_words: float32 [classes, d], see `TinyNetwork.words`."""

    tower: TextTower
    class_words: npt.NDArray[np.float32]


def read_text_files(folder: Path, manifest: Manifest) -> TextFiles:
    """The text tower of a folder. Raises as `load` does."""
    data = _checked(folder, TEXT, manifest)
    pieces = _checked(folder, VOCABULARY, manifest).read_text("utf-8").splitlines()
    try:
        arrays = load_arrays(data)
        tower = TextTower(pieces, arrays["table"], arrays["scales"].astype(np.float32))
        return TextFiles(tower, arrays["class_words"].astype(np.float32))
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsUnreadable(str(data), f"{type(error).__name__}: {error}") from error


def _network(
    record: EncoderRecord, request: LoadRequest, folder: Path, manifest: Manifest
) -> TinyNetwork:
    if request.random_seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.random_seed)
            return TinyNetwork(manifest.network)
    path = _checked(folder, WEIGHTS, manifest)
    network = TinyNetwork(manifest.network)
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.load_state_dict(weights)
    except SafetensorError as error:
        raise WeightsUnreadable(str(path), str(error)) from error
    except RuntimeError as error:
        found = load_error_mismatches(error)
        raise WeightsMismatch(str(path), record.name, found) from error
    return network


def _checked(folder: Path, name: str, manifest: Manifest) -> Path:
    """The file's path, once its SHA-256 is the manifest's."""
    path = folder / name
    try:
        digest = file_digest(path)
    except OSError as error:
        raise WeightsUnreadable(str(path), error.strerror or "cannot be read") from error
    if digest != manifest.files.get(name):
        raise WeightsUnreadable(
            str(path), f"its SHA-256 is {digest}, {MANIFEST} names {manifest.files.get(name)}"
        )
    return path


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
