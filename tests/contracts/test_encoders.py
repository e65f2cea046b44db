"""What every encoder keeps to, and that each is what its library builds.

The parity tests build each family twice: through our loader, and as the library's documentation
says, with its own transform and forward pass; both with the same random weights. Weights are
drawn anew after building, because many layers start as zeros or as the identity and would let a
mistake pass.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform

from likeness.encoders import RECORDS, EncoderRecord, load_encoder
from likeness.encoders.deriving import open_clip_record, timm_record
from likeness.encoders.registry import parse_name
from likeness.encoders.torch_tower import TorchTower
from likeness.errors import NoAttentionMap, NoTextTower, VectorError
from likeness.types import Embeddings, RgbImage, Tower

# The smallest of each family.
QUICK = [
    "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "timm:deit_tiny_patch16_224.fb_in1k",
    "timm:swin_tiny_patch4_window7_224.ms_in22k_ft_in1k",
    "timm:vit_small_patch16_224.dino",
    "timm:vit_small_patch16_dinov3.lvd1689m",
    "timm:eva02_tiny_patch14_336.mim_in22k_ft_in1k",
    "open_clip:PE-Core-T-16-384/meta",
]
SLOW = [
    "timm:swinv2_tiny_window8_256.ms_in1k",
    "timm:deit3_small_patch16_224.fb_in22k_ft_in1k",
    "timm:beit_base_patch16_224.in22k_ft_in22k",
    "timm:beitv2_base_patch16_224.in1k_ft_in22k",
    "timm:vit_base_patch16_224.mae",
    "timm:vit_small_patch14_dinov2.lvd142m",
    "timm:vit_small_patch14_reg4_dinov2.lvd142m",
    "open_clip:ViT-B-32-quickgelu/openai",
    "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "open_clip:EVA02-B-16/merged2b_s8b_b131k",
    "open_clip:ViT-B-16-SigLIP/webli",
    "open_clip:ViT-B-32-SigLIP2-256/webli",
    "open_clip:MobileCLIP2-S0/dfndr2b",
    "open_clip:MobileCLIP2-B/dfndr2b",
]
SIZES = [(300, 400), (480, 320), (224, 224), (97, 410), (20, 13)]


def pictures() -> list[RgbImage]:
    rng = np.random.default_rng(11)
    found = []
    for height, width in SIZES:
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        found.append(cast(RgbImage, np.asarray(image)))
    return found


def draw_weights_anew(model: torch.nn.Module) -> None:
    """Give every parameter values of a size that signals pass through."""
    generator = torch.Generator().manual_seed(4)
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if "Norm" in type(module).__name__
    }
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name in norms:
                parameter.copy_(1 + 0.1 * noise)
            elif parameter.ndim >= 2 and "embed" not in name and "gamma" not in name:
                parameter.copy_(noise * parameter.shape[1:].numel() ** -0.5)
            else:
                parameter.copy_(0.2 * noise)


@pytest.fixture(
    scope="module", params=[*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def encoder(request: pytest.FixtureRequest) -> TorchTower:
    """An encoder in fp32 with random weights. Module scope: built once for all tests below."""
    name = cast(str, request.param)
    found = load_encoder(name, device="cpu", precision="fp32", batch_size=4, random_seed=1)
    draw_weights_anew(cast(TorchTower, found).model)
    return cast(TorchTower, found)


def reference(encoder: TorchTower, images: list[RgbImage]) -> Embeddings:
    """Unit vectors as the library's documentation computes them, one image at a time."""
    record, weights = encoder.record, encoder.model.state_dict()
    model, transform = (
        timm_model(record, weights) if record.library == "timm" else clip_model(record, weights)
    )
    with torch.inference_mode():
        rows = [model(transform(Image.fromarray(image))[None]) for image in images]
    return torch.nn.functional.normalize(torch.cat(rows)).numpy()


def timm_model(record: EncoderRecord, weights: dict[str, torch.Tensor]) -> tuple[Any, Any]:
    # DINOv3's authors pool CLS, which timm's documentation says to ask for.
    options = {"global_pool": "token"} if record.family == "DINOv3" else {}
    model: Any = timm.create_model(record.name.partition(":")[2], num_classes=0, **options)
    model.load_state_dict(weights)
    config = cast(Any, resolve_model_data_config)(model)
    return model.eval(), cast(Any, create_transform)(**config, is_training=False)


def clip_model(record: EncoderRecord, weights: dict[str, torch.Tensor]) -> tuple[Any, Any]:
    architecture, _, tag = record.name.partition(":")[2].partition("/")
    config = open_clip.get_pretrained_cfg(architecture, tag)
    model: Any = open_clip.create_model(
        architecture, load_weights=False, force_quick_gelu=config.get("quick_gelu", False)
    )
    model.load_state_dict(weights)
    wanted = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    preprocess = PreprocessCfg(size=model.visual.image_size, **wanted)
    return model.eval().encode_image, image_transform_v2(preprocess, is_train=False)


def test_vectors_equal_those_of_the_librarys_own_path(encoder: TorchTower) -> None:
    images = pictures()
    ours = encoder.embed(images)
    np.testing.assert_allclose(ours, reference(encoder, images), atol=1e-4)
    # The images must lie much further apart than that, or the comparison says nothing.
    apart = np.linalg.norm(ours[:, None] - ours[None], axis=2)[np.triu_indices(len(ours), 1)]
    assert apart.min() > 5e-3


def test_vectors_have_the_promised_shape_type_and_length(encoder: TorchTower) -> None:
    found = encoder.embed(pictures()[:2])
    assert found.shape == (2, encoder.spec.dim)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert encoder.embed([]).shape == (0, encoder.spec.dim)


def test_company_and_order_do_not_change_a_vector(encoder: TorchTower) -> None:
    assert_company_does_not_matter(encoder, encoder.embed(pictures()[:3]))


def test_half_precision_stays_close_and_company_does_not_matter_there_either(
    encoder: TorchTower,
) -> None:
    full = encoder.embed(pictures()[:3])
    half = cast(
        TorchTower, load_encoder(encoder.spec.name, device="cpu", precision="bf16", random_seed=1)
    )
    half.model.load_state_dict(encoder.model.state_dict())
    found = half.embed(pictures()[:3])
    assert half.spec.precision == "bf16"
    # Random weights amplify rounding more than trained ones do; those are held to 0.999 below.
    assert np.sum(found * full, axis=1).min() > 0.98
    assert_company_does_not_matter(half, found)


def assert_company_does_not_matter(encoder: TorchTower, together: Embeddings) -> None:
    """DESIGN's bar: cosine >= 0.9999 alone, backwards, and among many copies."""
    images = pictures()[:3]
    alone = np.concatenate([encoder.embed([image]) for image in images])
    backwards = encoder.embed(images[::-1])[::-1]
    crowded = encoder.embed([images[0], *images, *images[1:]])[1:4]
    for other in (alone, backwards, crowded):
        assert np.sum(together * other, axis=1).min() >= 0.9999


def test_attention_is_a_share_of_every_patch_or_an_error_that_says_why(
    encoder: TorchTower,
) -> None:
    images = pictures()[:2]
    if encoder.spec.attention_from is None:
        assert encoder.record.family in ("Swin", "MobileCLIP 2")
        with pytest.raises(NoAttentionMap, match="no single token sees the whole"):
            encoder.attention(images)
        return
    assert encoder.spec.patch_grid is not None
    height, width = encoder.spec.patch_grid
    maps = encoder.attention(images)
    assert maps.shape == (2, encoder.spec.heads, height * width)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.sum(axis=2).max() <= 1 + 1e-5
    # Taking a map must not change how the encoder embeds afterwards.
    before = encoder.embed(images)
    encoder.attention(images)
    np.testing.assert_array_equal(encoder.embed(images), before)


def test_patch_tokens_lie_on_the_promised_grid(encoder: TorchTower) -> None:
    assert encoder.spec.patch_grid is not None
    height, width = encoder.spec.patch_grid
    tokens = encoder.patch_tokens(pictures()[:2])
    assert tokens.shape[:2] == (2, height * width)
    assert tokens.dtype == np.float32
    assert np.isfinite(tokens).all()
    assert not np.allclose(tokens[0], tokens[1])


def test_patch_tokens_know_where_they_are(encoder: TorchTower) -> None:
    # A change in one corner of the picture changes that corner's token most.
    size = encoder.spec.input_size
    plain = np.full((size, size, 3), 128, np.uint8)
    marked = plain.copy()
    side = size // 8
    marked[-side:, :side] = 255 * (np.indices((side, side)).sum(0) % 2)[..., None]
    assert encoder.spec.patch_grid is not None
    height, width = encoder.spec.patch_grid
    before, after = encoder.patch_tokens([plain, marked])
    change = np.linalg.norm(after - before, axis=1).reshape(height, width)
    # Attention spreads a change over the whole picture; it stays largest where it was made.
    corner = (slice(-max(1, height // 8), None), slice(0, max(1, width // 8)))
    assert change[corner].mean() > 1.2 * change.mean()


def test_words_are_embedded_into_the_same_space_or_refused(encoder: TorchTower) -> None:
    if Tower.TEXT not in encoder.spec.towers:
        with pytest.raises(NoTextTower):
            encoder.embed_texts(["a dog"])
        return
    if "SigLIP" in encoder.spec.name:
        pytest.skip("its tokenizer is a file of the hub; tests/unit/encoders/test_words.py has one")
    texts = ["a dog", "two cats asleep on a red sofa"]
    found = encoder.embed_texts(texts)
    assert found.shape == (2, encoder.spec.dim)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(encoder.embed_texts(texts[::-1])[::-1], found, atol=1e-5)
    assert encoder.embed_texts([]).shape == (0, encoder.spec.dim)
    architecture = encoder.record.architecture
    ids = open_clip.get_tokenizer(architecture)(texts)
    with torch.inference_mode():
        theirs = cast(Any, encoder.model).encode_text(ids, normalize=True).numpy()
    np.testing.assert_allclose(found, theirs, atol=1e-5)


def test_the_same_seed_gives_the_same_encoder(encoder: TorchTower) -> None:
    again = load_encoder(encoder.spec.name, device="cpu", precision="fp32", random_seed=1)
    assert again.fingerprint == encoder.fingerprint
    other = load_encoder(encoder.spec.name, device="cpu", precision="fp32", random_seed=2)
    assert other.fingerprint != encoder.fingerprint


def test_prepared_images_of_another_encoder_are_refused(encoder: TorchTower) -> None:
    side = encoder.spec.input_size + 32
    with pytest.raises(VectorError, match=str(encoder.spec.input_size)):
        encoder.embed_prepared(np.zeros((1, side, side, 3), np.uint8))


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(
            record,
            id=record.name,
            marks=[] if record.name in [*QUICK, *SLOW] else pytest.mark.slow,
        )
        for record in RECORDS
    ],
)
def test_a_record_says_what_its_library_builds(record: EncoderRecord) -> None:
    if record.library == "likeness":
        pytest.skip("ships with the project; tests/unit/encoders/tiny has its tests")
    derive = timm_record if record.library == "timm" else open_clip_record
    built = derive(parse_name(record.name))
    assert built is not None, f"{record.library} knows no {record.name}"
    for field in ("dim", "input_size", "parameters", "text_parameters", "shape", "hub", "url"):
        assert getattr(record, field) == getattr(built, field), field
    assert record.giga_flops == pytest.approx(built.giga_flops, abs=0.01)
    if record.family == "DINOv3":
        assert (record.pooling, record.global_pool) == ("cls", "token")
    else:
        assert record.pooling == built.pooling
    if built.licence != "unknown":
        assert record.licence.lower().startswith(built.licence.removesuffix("-license"))
