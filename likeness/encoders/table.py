"""The literal table of encoders.

`tests/contracts/test_encoders.py` checks every row against what the libraries build: dimension,
input size, parameters, operations, shape, pooling and where the weights come from. Licences are
those of the weights as their authors publish them.

Zero-shot figures are top-1 on ImageNet-1k in percent and only rank the advice for words. Looked up:
CLIP and EVA-02 in OpenCLIP's docs/openclip_results.csv (not DFN's), MobileCLIP 2 S0 and S2 in its
model card. Not yet looked up in the sources that are theirs: SigLIP (Zhai et al., 2023), SigLIP 2
(Tschannen et al., 2025), DFN (Fang et al., 2023), the other MobileCLIP 2 (Faghri et al., 2025) and
Perception Encoder (Bolya et al., 2025).
"""

# One row, one line: a table is read down its columns.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Iterator

from likeness.encoders.records import EncoderRecord, HubFile, Pooling, Purpose, Shape

_LOOK = (Purpose.LOOK,)
_LOOK_COPIES = (Purpose.LOOK, Purpose.COPIES)
_WORDS_LOOK = (Purpose.WORDS, Purpose.LOOK)

_TimmRow = tuple[str, int, int, int, float, tuple[int, int, int, int, int]]
_OpenClipRow = tuple[
    str, int, int, int, int, float, tuple[int, int, int, int, int], float | None, str
]


def _timm(
    family: str,
    purposes: tuple[Purpose, ...],
    pooling: Pooling,
    licence: str,
    *,
    rows: tuple[_TimmRow, ...],
    global_pool: str | None = None,
    note: str = "",
) -> Iterator[EncoderRecord]:
    for model, dim, input_size, parameters, giga_flops, shape in rows:
        yield EncoderRecord(
            name=f"timm:{model}",
            family=family,
            purposes=purposes,
            dim=dim,
            input_size=input_size,
            parameters=parameters,
            text_parameters=0,
            giga_flops=giga_flops,
            pooling=pooling,
            shape=Shape(*shape),
            licence=licence,
            loader="likeness.encoders.timm_tower:load",
            hub=HubFile(f"timm/{model}"),
            pooling_note=note,
            global_pool=global_pool,
        )


def _open_clip(
    family: str, pooling: Pooling, licence: str, *, rows: tuple[_OpenClipRow, ...]
) -> Iterator[EncoderRecord]:
    for model, dim, input_size, image, text, giga_flops, shape, zero_shot, repo in rows:
        yield EncoderRecord(
            name=f"open_clip:{model}",
            family=family,
            purposes=_WORDS_LOOK,
            dim=dim,
            input_size=input_size,
            parameters=image,
            text_parameters=text,
            giga_flops=giga_flops,
            pooling=pooling,
            shape=Shape(*shape),
            licence=licence,
            loader="likeness.encoders.open_clip_towers:load",
            hub=HubFile(repo, ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")),
            zero_shot=zero_shot,
        )


# What ships with the product (likeness/encoders/tiny/MODEL_CARD.md).
_SHIPPED = (
    EncoderRecord(
        name="likeness:tiny",
        family="Likeness tiny",
        purposes=_WORDS_LOOK,
        dim=448,
        input_size=160,
        parameters=5_670_336,
        text_parameters=7_055_104,
        giga_flops=1.19,
        pooling="cls",
        shape=Shape(101, 192, 12, 3, 768),
        licence="Apache-2.0",
        loader="likeness.encoders.tiny.tower:load",
        pooling_note="the class feature beside a projection of it to the words",
    ),
    EncoderRecord(
        name="likeness:tiny-copy",
        family="Likeness tiny",
        purposes=(Purpose.COPIES,),
        dim=256,
        input_size=160,
        parameters=5_604_544,
        text_parameters=0,
        giga_flops=1.19,
        pooling="cls",
        shape=Shape(101, 192, 12, 3, 768),
        licence="Apache-2.0",
        loader="likeness.encoders.tiny.tower:load",
        pooling_note="a head on the class feature and the patches' generalised mean",
    ),
)

# fmt: off
RECORDS: tuple[EncoderRecord, ...] = (
    *_SHIPPED,
    # name, dim, input size, parameters, GFLOP, Shape(tokens, width, depth, heads, hidden)
    *_timm("ViT", _LOOK, "cls", "Apache-2.0", rows=(
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 192, 224, 5_524_416, 2.51, (197, 192, 12, 3, 768)),
        ("vit_small_patch16_224.augreg_in21k_ft_in1k", 384, 224, 21_665_664, 9.2, (197, 384, 12, 6, 1536)),
        ("vit_base_patch16_224.augreg2_in21k_ft_in1k", 768, 224, 85_798_656, 35.13, (197, 768, 12, 12, 3072)),
        ("vit_large_patch16_224.augreg_in21k_ft_in1k", 1024, 224, 303_301_632, 123.11, (197, 1024, 24, 16, 4096)),
        ("vit_huge_patch14_224.orig_in21k", 1280, 224, 630_764_800, 334.59, (257, 1280, 32, 16, 5120)),
    )),
    *_timm("DeiT", _LOOK, "cls", "Apache-2.0", rows=(
        ("deit_tiny_patch16_224.fb_in1k", 192, 224, 5_524_416, 2.51, (197, 192, 12, 3, 768)),
        ("deit_small_patch16_224.fb_in1k", 384, 224, 21_665_664, 9.2, (197, 384, 12, 6, 1536)),
        ("deit_base_patch16_224.fb_in1k", 768, 224, 85_798_656, 35.13, (197, 768, 12, 12, 3072)),
        ("deit3_small_patch16_224.fb_in22k_ft_in1k", 384, 224, 21_674_496, 9.2, (197, 384, 12, 6, 1536)),
        ("deit3_base_patch16_224.fb_in22k_ft_in1k", 768, 224, 85_816_320, 35.13, (197, 768, 12, 12, 3072)),
        ("deit3_large_patch16_224.fb_in22k_ft_in1k", 1024, 224, 303_349_760, 123.11, (197, 1024, 24, 16, 4096)),
    )),
    *_timm("Swin", _LOOK, "mean", "MIT", note="the mean of the last stage; it has no CLS token", rows=(
        ("swin_tiny_patch4_window7_224.ms_in22k_ft_in1k", 768, 224, 27_519_354, 8.98, (3136, 96, 12, 3, 384)),
        ("swin_small_patch4_window7_224.ms_in22k_ft_in1k", 768, 224, 48_837_258, 17.48, (3136, 96, 24, 3, 384)),
        ("swin_base_patch4_window7_224.ms_in22k_ft_in1k", 1024, 224, 86_743_224, 30.86, (3136, 128, 24, 4, 512)),
        ("swin_large_patch4_window7_224.ms_in22k_ft_in1k", 1536, 224, 194_995_476, 68.95, (3136, 192, 24, 6, 768)),
        ("swinv2_tiny_window8_256.ms_in1k", 768, 256, 27_578_154, 11.88, (4096, 96, 12, 3, 384)),
        ("swinv2_base_window12to16_192to256.ms_in22k_ft_in1k", 1024, 256, 86_893_816, 43.94, (4096, 128, 24, 4, 512)),
    )),
    *_timm("BEiT", _LOOK, "mean", "Apache-2.0", note="the mean of the patches, normed, as its authors fine-tune and evaluate", rows=(
        ("beit_base_patch16_224.in22k_ft_in22k", 768, 224, 85_761_984, 35.13, (197, 768, 12, 12, 3072)),
        ("beit_large_patch16_224.in22k_ft_in22k", 1024, 224, 303_405_568, 123.11, (197, 1024, 24, 16, 4096)),
        ("beitv2_base_patch16_224.in1k_ft_in22k", 768, 224, 85_761_984, 35.13, (197, 768, 12, 12, 3072)),
        ("beitv2_large_patch16_224.in1k_ft_in22k", 1024, 224, 303_405_568, 123.11, (197, 1024, 24, 16, 4096)),
    )),
    *_timm("MAE", _LOOK, "cls", "CC-BY-NC-4.0", note="CLS, as its authors' linear probe; what it learned without labels separates classes poorly", rows=(
        ("vit_base_patch16_224.mae", 768, 224, 85_798_656, 35.13, (197, 768, 12, 12, 3072)),
        ("vit_large_patch16_224.mae", 1024, 224, 303_301_632, 123.11, (197, 1024, 24, 16, 4096)),
        ("vit_huge_patch14_224.mae", 1280, 224, 630_764_800, 334.59, (257, 1280, 32, 16, 5120)),
    )),
    *_timm("DINO", _LOOK_COPIES, "cls", "Apache-2.0", rows=(
        ("vit_small_patch16_224.dino", 384, 224, 21_665_664, 9.2, (197, 384, 12, 6, 1536)),
        ("vit_small_patch8_224.dino", 384, 224, 21_670_272, 44.81, (785, 384, 12, 6, 1536)),
        ("vit_base_patch16_224.dino", 768, 224, 85_798_656, 35.13, (197, 768, 12, 12, 3072)),
        ("vit_base_patch8_224.dino", 768, 224, 85_807_872, 156.3, (785, 768, 12, 12, 3072)),
    )),
    *_timm("DINOv2", _LOOK_COPIES, "cls", "Apache-2.0", rows=(
        ("vit_small_patch14_dinov2.lvd142m", 384, 518, 22_056_192, 93.39, (1370, 384, 12, 6, 1536)),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 384, 518, 22_057_344, 93.77, (1374, 384, 12, 6, 1536)),
        ("vit_base_patch14_dinov2.lvd142m", 768, 518, 86_579_712, 303.15, (1370, 768, 12, 12, 3072)),
        ("vit_base_patch14_reg4_dinov2.lvd142m", 768, 518, 86_582_016, 304.23, (1374, 768, 12, 12, 3072)),
        ("vit_large_patch14_dinov2.lvd142m", 1024, 518, 304_367_616, 1013.61, (1370, 1024, 24, 16, 4096)),
        ("vit_large_patch14_reg4_dinov2.lvd142m", 1024, 518, 304_370_688, 1017.1, (1374, 1024, 24, 16, 4096)),
        ("vit_giant_patch14_dinov2.lvd142m", 1536, 518, 1_136_479_232, 3566.69, (1370, 1536, 40, 24, 8192)),
        ("vit_giant_patch14_reg4_dinov2.lvd142m", 1536, 518, 1_136_483_840, 3578.44, (1374, 1536, 40, 24, 8192)),
    )),
    *_timm("DINOv3", _LOOK_COPIES, "cls", "DINOv3", global_pool="token", note="CLS, as its authors evaluate; timm's own default is the mean of the patches", rows=(
        ("vit_small_patch16_dinov3.lvd1689m", 384, 256, 21_586_944, 12.49, (261, 384, 12, 6, 1536)),
        ("vit_small_plus_patch16_dinov3.lvd1689m", 384, 256, 28_683_264, 16.19, (261, 384, 12, 6, 3072)),
        ("vit_base_patch16_dinov3.lvd1689m", 768, 256, 85_641_216, 47.15, (261, 768, 12, 12, 3072)),
        ("vit_large_patch16_dinov3.lvd1689m", 1024, 256, 303_079_424, 164.74, (261, 1024, 24, 16, 4096)),
        ("vit_huge_plus_patch16_dinov3.lvd1689m", 1280, 256, 840_509_440, 449.55, (261, 1280, 32, 20, 10240)),
        ("vit_7b_patch16_dinov3.lvd1689m", 4096, 256, 6_716_030_976, 3549.34, (261, 4096, 40, 32, 16384)),
    )),
    *_timm("EVA-02", _LOOK, "mean", "MIT", note="the mean of the patches, normed, as its authors fine-tune", rows=(
        ("eva02_tiny_patch14_336.mim_in22k_ft_in1k", 192, 336, 5_563_584, 9.32, (577, 192, 12, 3, 1024)),
        ("eva02_small_patch14_336.mim_in22k_ft_in1k", 384, 336, 21_744_000, 30.9, (577, 384, 12, 6, 2048)),
        ("eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", 768, 448, 86_348_544, 213.77, (1025, 768, 12, 12, 4096)),
        ("eva02_large_patch14_448.mim_m38m_ft_in22k_in1k", 1024, 448, 304_055_232, 723.49, (1025, 1024, 24, 16, 5460)),
    )),
    # name, dim, input size, parameters of the image and the text tower, GFLOP, Shape, zero-shot, hub
    *_open_clip("CLIP", "cls", "MIT", rows=(
        ("ViT-B-32-quickgelu/openai", 512, 224, 87_849_216, 63_428_097, 8.82, (50, 768, 12, 12, 3072), 63.3, "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32/laion2b_s34b_b79k", 512, 224, 87_849_216, 63_428_097, 8.82, (50, 768, 12, 12, 3072), 66.6, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("ViT-B-32-256/datacomp_s34b_b86k", 512, 256, 87_860_736, 63_428_097, 11.5, (65, 768, 12, 12, 3072), 72.8, "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"),
        ("ViT-B-16-quickgelu/openai", 512, 224, 86_192_640, 63_428_097, 35.13, (197, 768, 12, 12, 3072), 68.3, "timm/vit_base_patch16_clip_224.openai"),
        ("ViT-B-16/datacomp_xl_s13b_b90k", 512, 224, 86_192_640, 63_428_097, 35.13, (197, 768, 12, 12, 3072), 73.5, "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K"),
    )),
    *_open_clip("CLIP", "cls", "Apple-AMLR", rows=(
        ("ViT-B-16-quickgelu/dfn2b", 512, 224, 86_192_640, 63_428_097, 35.13, (197, 768, 12, 12, 3072), 76.2, "apple/DFN2B-CLIP-ViT-B-16"),
    )),
    *_open_clip("CLIP", "cls", "MIT", rows=(
        ("ViT-L-14-quickgelu/openai", 768, 224, 303_966_208, 123_650_305, 162.03, (257, 1024, 24, 16, 4096), 75.5, "timm/vit_large_patch14_clip_224.openai"),
        ("ViT-L-14-336-quickgelu/openai", 768, 336, 304_293_888, 123_650_305, 381.92, (577, 1024, 24, 16, 4096), 76.6, "timm/vit_large_patch14_clip_336.openai"),
        ("ViT-L-14/datacomp_xl_s13b_b90k", 768, 224, 303_966_208, 123_650_305, 162.03, (257, 1024, 24, 16, 4096), 79.2, "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K"),
    )),
    *_open_clip("CLIP", "cls", "Apple-AMLR", rows=(
        ("ViT-L-14-quickgelu/dfn2b", 768, 224, 303_966_208, 123_650_305, 162.03, (257, 1024, 24, 16, 4096), 81.4, "apple/DFN2B-CLIP-ViT-L-14"),
    )),
    *_open_clip("CLIP", "cls", "MIT", rows=(
        ("ViT-H-14/laion2b_s32b_b79k", 1024, 224, 632_076_800, 354_032_641, 334.59, (257, 1280, 32, 16, 5120), 78.0, "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
    )),
    *_open_clip("CLIP", "cls", "Apple-AMLR", rows=(
        ("ViT-H-14-quickgelu/dfn5b", 1024, 224, 632_076_800, 354_032_641, 334.59, (257, 1280, 32, 16, 5120), 83.4, "apple/DFN5B-CLIP-ViT-H-14"),
    )),
    *_open_clip("CLIP", "cls", "MIT", rows=(
        ("ViT-bigG-14/laion2b_s39b_b160k", 1280, 224, 1_844_907_264, 694_659_841, 967.5, (257, 1664, 48, 16, 8192), 80.1, "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"),
    )),
    *_open_clip("EVA-02", "cls", "MIT", rows=(
        ("EVA02-B-16/merged2b_s8b_b131k", 512, 224, 86_263_040, 63_428_097, 35.13, (197, 768, 12, 12, 4096), 74.7, "timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k"),
        ("EVA02-L-14/merged2b_s4b_b131k", 768, 224, 304_105_152, 123_650_305, 162.0, (257, 1024, 24, 16, 5460), 79.8, "timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k"),
        ("EVA02-L-14-336/merged2b_s6b_b61k", 768, 336, 304_432_832, 123_650_305, 381.86, (577, 1024, 24, 16, 5460), 80.4, "timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k"),
    )),
    *_open_clip("SigLIP", "attention", "Apache-2.0", rows=(
        ("ViT-B-16-SigLIP/webli", 768, 224, 92_884_224, 110_271_746, 35.42, (196, 768, 12, 12, 3072), 76.2, "timm/ViT-B-16-SigLIP"),
        ("ViT-B-16-SigLIP-256/webli", 768, 256, 92_930_304, 110_271_746, 46.82, (256, 768, 12, 12, 3072), 76.7, "timm/ViT-B-16-SigLIP-256"),
        ("ViT-B-16-SigLIP-i18n-256/webli", 768, 256, 92_930_304, 277_695_746, 46.82, (256, 768, 12, 12, 3072), None, "timm/ViT-B-16-SigLIP-i18n-256"),
        ("ViT-B-16-SigLIP-384/webli", 768, 384, 93_176_064, 110_271_746, 112.13, (576, 768, 12, 12, 3072), 78.6, "timm/ViT-B-16-SigLIP-384"),
        ("ViT-L-16-SigLIP-256/webli", 1024, 256, 315_956_224, 336_194_562, 162.56, (256, 1024, 24, 16, 4096), 80.5, "timm/ViT-L-16-SigLIP-256"),
        ("ViT-L-16-SigLIP-384/webli", 1024, 384, 316_283_904, 336_194_562, 383.85, (576, 1024, 24, 16, 4096), 82.1, "timm/ViT-L-16-SigLIP-384"),
        ("ViT-SO400M-14-SigLIP/webli", 1152, 224, 427_680_704, 449_679_602, 220.35, (256, 1152, 27, 16, 4304), 82.2, "timm/ViT-SO400M-14-SigLIP"),
        ("ViT-SO400M-14-SigLIP-384/webli", 1152, 384, 428_225_600, 449_734_898, 670.35, (729, 1152, 27, 16, 4304), 83.2, "timm/ViT-SO400M-14-SigLIP-384"),
    )),
    *_open_clip("SigLIP 2", "attention", "Apache-2.0", rows=(
        ("ViT-B-32-SigLIP2-256/webli", 768, 256, 94_552_320, 282_303_746, 11.49, (64, 768, 12, 12, 3072), 74.0, "timm/ViT-B-32-SigLIP2-256"),
        ("ViT-B-16-SigLIP2/webli", 768, 224, 92_884_224, 282_303_746, 35.42, (196, 768, 12, 12, 3072), 78.2, "timm/ViT-B-16-SigLIP2"),
        ("ViT-B-16-SigLIP2-256/webli", 768, 256, 92_930_304, 282_303_746, 46.82, (256, 768, 12, 12, 3072), 79.1, "timm/ViT-B-16-SigLIP2-256"),
        ("ViT-B-16-SigLIP2-384/webli", 768, 384, 93_176_064, 282_303_746, 112.13, (576, 768, 12, 12, 3072), 80.6, "timm/ViT-B-16-SigLIP2-384"),
        ("ViT-B-16-SigLIP2-512/webli", 768, 512, 93_520_128, 282_303_746, 216.24, (1024, 768, 12, 12, 3072), 81.2, "timm/ViT-B-16-SigLIP2-512"),
        ("ViT-L-16-SigLIP2-256/webli", 1024, 256, 315_956_224, 565_570_562, 162.56, (256, 1024, 24, 16, 4096), 82.5, "timm/ViT-L-16-SigLIP2-256"),
        ("ViT-L-16-SigLIP2-384/webli", 1024, 384, 316_283_904, 565_570_562, 383.85, (576, 1024, 24, 16, 4096), 83.1, "timm/ViT-L-16-SigLIP2-384"),
        ("ViT-L-16-SigLIP2-512/webli", 1024, 512, 316_742_656, 565_570_562, 727.49, (1024, 1024, 24, 16, 4096), 83.5, "timm/ViT-L-16-SigLIP2-512"),
        ("ViT-SO400M-14-SigLIP2/webli", 1152, 224, 427_680_704, 707_782_898, 220.35, (256, 1152, 27, 16, 4304), 83.2, "timm/ViT-SO400M-14-SigLIP2"),
        ("ViT-SO400M-14-SigLIP2-378/webli", 1152, 378, 428_225_600, 707_782_898, 670.35, (729, 1152, 27, 16, 4304), 84.1, "timm/ViT-SO400M-14-SigLIP2-378"),
        ("ViT-SO400M-16-SigLIP2-256/webli", 1152, 256, 427_888_064, 707_782_898, 220.46, (256, 1152, 27, 16, 4304), 83.4, "timm/ViT-SO400M-16-SigLIP2-256"),
        ("ViT-SO400M-16-SigLIP2-384/webli", 1152, 384, 428_256_704, 707_782_898, 518.94, (576, 1152, 27, 16, 4304), 84.1, "timm/ViT-SO400M-16-SigLIP2-384"),
        ("ViT-SO400M-16-SigLIP2-512/webli", 1152, 512, 428_772_800, 707_782_898, 979.61, (1024, 1152, 27, 16, 4304), 84.3, "timm/ViT-SO400M-16-SigLIP2-512"),
        ("ViT-gopt-16-SigLIP2-256/webli", 1536, 256, 1_163_168_256, 708_225_650, 599.0, (256, 1536, 40, 16, 6144), 84.5, "timm/ViT-gopt-16-SigLIP2-256"),
        ("ViT-gopt-16-SigLIP2-384/webli", 1536, 384, 1_163_659_776, 708_225_650, 1392.98, (576, 1536, 40, 16, 6144), 85.0, "timm/ViT-gopt-16-SigLIP2-384"),
    )),
    *_open_clip("MobileCLIP 2", "mean", "Apple-AMLR", rows=(
        ("MobileCLIP2-S0/dfndr2b", 512, 256, 11_406_976, 63_428_097, 4.79, (4096, 64, 20, 0, 192), 71.5, "timm/MobileCLIP2-S0-OpenCLIP"),
        ("MobileCLIP2-S2/dfndr2b", 512, 256, 35_815_232, 63_428_097, 15.69, (4096, 80, 44, 0, 240), 77.2, "timm/MobileCLIP2-S2-OpenCLIP"),
    )),
    *_open_clip("MobileCLIP 2", "cls", "Apple-AMLR", rows=(
        ("MobileCLIP2-B/dfndr2b", 512, 224, 86_349_056, 63_428_097, 35.42, (197, 768, 12, 12, 3072), 79.4, "timm/MobileCLIP2-B-OpenCLIP"),
    )),
    *_open_clip("MobileCLIP 2", "mean", "Apple-AMLR", rows=(
        ("MobileCLIP2-S3/dfndr2b", 768, 256, 125_235_648, 123_650_305, 29.64, (4096, 96, 44, 0, 384), 80.7, "timm/MobileCLIP2-S3-OpenCLIP"),
        ("MobileCLIP2-S4/dfndr2b", 768, 256, 321_784_832, 123_650_305, 55.54, (4096, 128, 46, 0, 512), 81.9, "timm/MobileCLIP2-S4-OpenCLIP"),
    )),
    *_open_clip("MobileCLIP 2", "cls", "Apple-AMLR", rows=(
        ("MobileCLIP2-L-14/dfndr2b", 768, 224, 303_966_976, 123_650_305, 162.03, (257, 1024, 24, 16, 4096), 81.9, "timm/MobileCLIP2-L-14-OpenCLIP"),
    )),
    *_open_clip("PE-Core", "attention", "Apache-2.0", rows=(
        ("PE-Core-T-16-384/meta", 512, 384, 6_141_056, 63_405_057, 9.45, (577, 192, 12, 3, 768), 62.1, "timm/PE-Core-T-16-384"),
        ("PE-Core-S-16-384/meta", 512, 384, 23_783_168, 63_405_057, 31.32, (577, 384, 12, 6, 1536), 72.7, "timm/PE-Core-S-16-384"),
        ("PE-Core-B-16/meta", 1024, 224, 93_673_984, 353_986_561, 35.6, (197, 768, 12, 12, 3072), 78.4, "timm/PE-Core-B-16"),
        ("PE-Core-L-14-336/meta", 1024, 336, 317_152_256, 353_986_561, 384.36, (577, 1024, 24, 16, 4096), 83.5, "timm/PE-Core-L-14-336"),
        ("PE-Core-bigG-14-448/meta", 1280, 448, 1_882_033_920, 537_233_921, 4118.63, (1024, 1536, 50, 16, 8960), 85.4, "timm/PE-Core-bigG-14-448"),
    )),
)
# fmt: on
