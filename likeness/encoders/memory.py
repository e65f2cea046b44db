"""How much memory an encoder takes, from its architecture. Free of torch.

`benchmarks/embed.py --memory` compares these estimates with measured peaks.
"""

from __future__ import annotations

from likeness.encoders.interface import Precision
from likeness.encoders.records import EncoderRecord

BYTES_PER_NUMBER: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}


def weights_bytes(record: EncoderRecord, precision: Precision) -> int:
    """Memory of both towers' weights, in bytes."""
    return (record.parameters + record.text_parameters) * BYTES_PER_NUMBER[precision]


def activation_bytes(record: EncoderRecord, batch: int, precision: Precision) -> int:
    """Peak memory of activations while `batch` images pass through the image tower, in bytes.

    Without gradients only one block's tensors live at a time, and fused attention never holds
    the tokens x tokens matrix. The widest moment of a pre-norm block is in its MLP: residual
    stream and normed input (width each), hidden layer before and after its activation; or in
    its attention: residual, normed input, q, k, v, the result and the copies that kernels make of
    their layout. Hierarchical towers (4-pixel patches) are widest in the first stage, where
    windows are cut out and put back (Swin) or the stem works at twice the resolution (FastViT).
    The input squares stand beside it in fp32 and in `precision`; a fifth is the allocator's.

    Measured on CPU for batches of 16 (benchmarks/README.md): 0.8 to 1.25 times the peak, but for
    ViT-B/32 in bf16, whose 50 tokens fit into memory that loading had left (6 times).
    """
    shape, number = record.shape, BYTES_PER_NUMBER[precision]
    mlp = 2 * shape.width + 2 * shape.hidden
    attention = 8 * shape.width
    first_stage = 14 * shape.width if record.input_size**2 <= 32 * shape.tokens else 0
    tokens = shape.tokens * max(mlp, attention, first_stage) * number
    squares = 3 * record.input_size**2 * (4 + number)
    return batch * (tokens + squares) * 6 // 5


def batch_that_fits(record: EncoderRecord, available: int, precision: Precision, cap: int) -> int:
    """The largest power of two up to `cap` whose activations take at most half of `available`
    bytes after the weights; at least 1."""
    budget = (available - weights_bytes(record, precision)) // 2
    fitting = budget // activation_bytes(record, 1, precision)
    batch = 1
    while batch * 2 <= min(fitting, cap):
        batch *= 2
    return batch
