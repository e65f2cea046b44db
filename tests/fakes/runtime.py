"""A runtime whose encoders are fakes: everything else, the database and the index, is real."""

from __future__ import annotations

from likeness.encoders.interface import Encoder
from likeness.errors import UnknownEncoder
from likeness.runtime import ChosenEncoder, Runtime
from likeness.settings import Settings
from tests.fakes.encoder import FakeEncoder


class FakeRuntime(Runtime):
    """Knows the encoders it is given; the first is the automatic choice."""

    def __init__(self, settings: Settings, *encoders: FakeEncoder) -> None:
        super().__init__(settings)
        self._fakes = {fake.spec.name: fake for fake in encoders or (FakeEncoder(),)}

    def encoder(self, name: str) -> Encoder:
        if name not in self._fakes:
            raise UnknownEncoder(name, list(self._fakes))
        return self._fakes[name]

    def choose_encoder(self, asked: str | None = None) -> ChosenEncoder:
        return ChosenEncoder(self.encoder(asked or next(iter(self._fakes))))
