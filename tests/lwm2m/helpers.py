"""What several tests of the data model need: the shipped table of models, and a model of every type."""

from __future__ import annotations

from pathlib import Path as File

from hypothesis import strategies as st

import lwm2md.lwm2m
from lwm2md.lwm2m.models import Models, ObjectModel, ResourceModel, TypeOf, parse
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, ResourceType, Value

TABLE = (File(lwm2md.lwm2m.__file__).parent / "models.txt").read_text(encoding="utf-8")
MODELS: Models = parse(TABLE)
TYPES: TypeOf = MODELS.type_of({})

KINDS = tuple(kind for kind in ResourceType if kind is not ResourceType.NONE)

ANYTHING = 100
"""An Object with a single Resource of each type at 1, 2, ... and a multiple one at 1001, 1002, ..."""

ANYTHING_MODEL = ObjectModel(
    ANYTHING,
    "1.0",
    "Anything",
    True,
    False,
    {
        offset + number: ResourceModel(offset + number, kind.value, "RW", kind, offset > 0)
        for number, kind in enumerate(KINDS, 1)
        for offset in (0, 1000)
    },
)
ANYTHING_TYPES: TypeOf = Models([ANYTHING_MODEL]).type_of({})

_TEXTS = st.text().map(lambda text: text.rstrip("\0"))  # a NUL at the end is how C ends it

STRATEGIES: dict[ResourceType, st.SearchStrategy[Value]] = {
    ResourceType.STRING: _TEXTS,
    ResourceType.CORELNK: _TEXTS,
    ResourceType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ResourceType.TIME: st.integers(-(2**63), 2**63 - 1),
    ResourceType.UNSIGNED: st.integers(0, 2**64 - 1),
    ResourceType.FLOAT: st.floats(allow_nan=False),
    ResourceType.BOOLEAN: st.booleans(),
    ResourceType.OPAQUE: st.binary(),
    ResourceType.OBJLNK: st.builds(ObjectLink, st.integers(0, 65535), st.integers(0, 65535)),
}


def path(text: str) -> Path:
    """A path, shortly."""
    return Path.parse(text)


def one(text: str, value: Value) -> Nodes:
    """The nodes of one value."""
    return (Entry(path(text), value),)


def flat(nodes: Nodes) -> dict[str, Value | None]:
    """Nodes as a dictionary that is easy to compare."""
    return {str(entry.path): entry.value for entry in nodes}


def nodes(values: dict[str, Value | None]) -> Nodes:
    """The other way round."""
    return tuple(Entry(path(text), value) for text, value in values.items())


@st.composite
def single_values(draw: st.DrawFn) -> tuple[Path, Value]:
    """A path of the Object of every type, with a value that fits."""
    number = draw(st.integers(1, len(KINDS)))
    value = draw(STRATEGIES[KINDS[number - 1]])
    instance = draw(st.sampled_from([0, 1, 255, 256, 65534]))
    if draw(st.booleans()):
        return Path((ANYTHING, instance, number)), value
    return Path((ANYTHING, instance, 1000 + number, draw(st.sampled_from([0, 7, 255, 256, 65534])))), value


@st.composite
def objects(draw: st.DrawFn) -> Nodes:
    """The nodes of a whole Object with Instances, single and multiple Resources, some of them empty."""
    found: list[Entry] = []
    for instance in draw(st.lists(st.integers(0, 65534), unique=True, min_size=1, max_size=3)):
        here = Path((ANYTHING, instance))
        resources = draw(st.lists(st.integers(1, len(KINDS)).flatmap(_one_of_two), unique=True, max_size=4))
        if not resources:
            found.append(Entry(here, None))
        for identifier in resources:
            values = STRATEGIES[KINDS[identifier % 1000 - 1]]
            resource = here.child(identifier)
            if identifier < 1000:
                found.append(Entry(resource, draw(values)))
                continue
            instances = draw(st.dictionaries(st.integers(0, 65534), values, max_size=3))
            found.extend(Entry(resource.child(number), value) for number, value in instances.items())
            if not instances:
                found.append(Entry(resource, None))
    return tuple(found)


def _one_of_two(number: int) -> st.SearchStrategy[int]:
    return st.sampled_from([number, 1000 + number])
