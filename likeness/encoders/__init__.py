"""Vision Transformers behind one small interface: pixels or words in, unit vectors out.

Importing this package imports neither torch nor a model library; `load_encoder` does.
"""

from likeness.encoders.interface import Encoder, EncoderSpec, LoadRequest
from likeness.encoders.loading import load_encoder
from likeness.encoders.preprocess import Preprocess
from likeness.encoders.registry import RECORDS, EncoderRecord, Purpose, find

__all__ = [
    "RECORDS",
    "Encoder",
    "EncoderRecord",
    "EncoderSpec",
    "LoadRequest",
    "Preprocess",
    "Purpose",
    "find",
    "load_encoder",
]
