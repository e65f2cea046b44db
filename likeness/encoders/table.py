"""The literal table of encoders. `tests/contracts/test_encoders.py` checks every row against
what the libraries build."""

from __future__ import annotations

from likeness.encoders.records import EncoderRecord, HubFile, Purpose, Shape

_TIMM = "likeness.encoders.timm_tower:load"
_OPEN_CLIP = "likeness.encoders.open_clip_towers:load"

RECORDS: tuple[EncoderRecord, ...] = (
    EncoderRecord(
        name="timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        family="ViT",
        purposes=(Purpose.LOOK, Purpose.COPIES),
        dim=192,
        input_size=224,
        parameters=5_524_416,
        text_parameters=0,
        giga_flops=2.51,
        pooling="cls",
        shape=Shape(tokens=197, width=192, depth=12, heads=3, hidden=768),
        licence="Apache-2.0",
        loader=_TIMM,
        hub=HubFile("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
    ),
)
