"""The object models in force, by where they come from: put through the API, in the operator's directory, built in.

RULES: what was put hides the directory's model of the same Object and version, and that one the built-in. Every change
makes a new set of models, which is in force for all devices at once; what was put is in force when it is durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from lwm2md.lwm2m.models import Models, ObjectModel
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import BuiltInModel, LimitReached, UnknownModel
from lwm2md.server.state import State

ModelSource = Literal["built-in", "directory", "api"]


class Library:
    """Keeps the sources apart, and `State.models` up to date."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._built_in = state.models
        self._directory = Models()
        self._put: dict[tuple[int, str], ObjectModel] = {}
        self._coming: Counter[tuple[int, str]] = Counter()

    def use(self, directory: Iterable[ObjectModel]) -> None:
        """Take these for all that the operator's directory has."""
        self._directory = Models(directory)
        self.refresh()

    def source(self, model: ObjectModel) -> ModelSource:
        """Where a model that is in force comes from."""
        if self.has(model):
            return "api"
        return "built-in" if self._directory.exactly(model.id, model.version) is None else "directory"

    def has(self, model: ObjectModel) -> bool:
        """Whether a model of this Object and version was put."""
        return (model.id, model.version) in self._put

    def put(self, models: Iterable[ObjectModel], then: Resume) -> None:
        """Keep models, and put them in force when they are durable. Raises LimitReached."""
        found = {(model.id, model.version): model for model in models}
        most = self._state.settings.models
        if len(self._put.keys() | self._coming.keys() | found.keys()) > most:
            raise LimitReached(f"at most {most} models")
        self._coming.update(found.keys())

        def ended(ok: bool, now: float) -> None:
            self._coming -= Counter(found.keys())
            if ok:
                self._put.update(found)
                self.refresh()
            then(ok, now)

        rows = [Write(stored.MODELS, stored.model_key(*key), stored.model_row(model)) for key, model in found.items()]
        self._state.commit(rows, (), ended)

    def remove(self, identifier: int, version: str, then: Resume) -> None:
        """Take back what was put; what it hid is in force again. Raises UnknownModel, BuiltInModel."""
        key = (identifier, version)
        if key not in self._put:
            if self._state.models.exactly(identifier, version) is None:
                raise UnknownModel(f"no model of object {identifier} version {version}")
            raise BuiltInModel(f"object {identifier} version {version} was not put here and can't be taken back")

        def ended(ok: bool, now: float) -> None:
            if ok:
                self._put.pop(key, None)
                self.refresh()
            then(ok, now)

        self._state.commit((Write(stored.MODELS, stored.model_key(identifier, version), None),), (), ended)

    def restore(self, value: bytes) -> None:
        """Take up a row; it is in force with the next `refresh`."""
        model = stored.read_model(value)
        self._put[model.id, model.version] = model

    def refresh(self) -> None:
        """Put in force what the sources have now."""
        self._state.models = self._built_in.with_others((*self._directory, *self._put.values()))
