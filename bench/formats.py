"""How long the content formats take, as ratios of the bare libraries in the same process: ``python -m bench.formats``.

Library and codec take turns in short batches, and the fastest batch of each counts: whatever else the machine does at
that time only adds. The library gets the plain structure of the same payload; the codec looks up models, checks types,
ranges and paths, and makes nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files

import cbor2
import msgspec

from lwm2md.coap.numbers import SENML_CBOR, SENML_JSON, TLV
from lwm2md.lwm2m.formats import NAMES, decode, encode
from lwm2md.lwm2m.models import parse
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.values import Value

BATCH, BATCHES = 20, 300
TYPES = parse(files("lwm2md.lwm2m").joinpath("models.txt").read_text()).type_of({})
DEVICE = bytes.fromhex(
    "C800144F70656E204D6F62696C6520416C6C69616E6365C801164C69676874776569676874204D324D20436C69656E74C80209333435303030"
    "313233C303312E30860641000141010588070842000ED842011388870841007D42010384C10964C10A0F830B410000C40D5182428FC60E2B30"
    "323A3030C11055"
)
LIBRARIES: dict[int, tuple[Callable[[bytes], object], Callable[[object], bytes]]] = {
    SENML_CBOR: (cbor2.loads, cbor2.dumps),
    SENML_JSON: (msgspec.json.decode, msgspec.json.encode),
}
ASKED = {SENML_CBOR: 3, SENML_JSON: 4}


def sensors() -> Nodes:
    """Fifty values of ten sensors, as in the answer to a Read-Composite or in a Send."""
    found = []
    for instance in range(10):
        values: dict[int, Value] = {
            5700: 20.25 + instance * 0.37,
            5601: -3.5 - instance,
            5602: 41.25 + instance,
            5701: "Cel",
            5518: 1700000000 + instance * 60,
        }
        found += [Entry(Path((3303, instance, resource)), value) for resource, value in values.items()]
    return tuple(found)


def history() -> Nodes:
    """Fifty values of one sensor, one for each minute."""
    return tuple(Entry(Path((3303, 0, 5700)), 20.25 + number / 4, 1700000000.0 + number * 60) for number in range(50))


def fastest(*functions: Callable[[], object]) -> list[float]:
    """The microseconds of one call of each."""
    best = [float("inf")] * len(functions)
    for _ in range(BATCHES):
        for index, function in enumerate(functions):
            began = time.perf_counter()
            for _ in range(BATCH):
                function()
            best[index] = min(best[index], (time.perf_counter() - began) / BATCH * 1e6)
    return best


def compare(number: int, what: str, nodes: Nodes) -> None:
    """Print both directions of one format against its library."""
    loads, dumps = LIBRARIES[number]
    payload = encode(number, ROOT, nodes, TYPES)
    plain = loads(payload)
    assert decode(number, ROOT, payload, TYPES) == nodes
    bare_in, ours_in, bare_out, ours_out = fastest(
        lambda: loads(payload),
        lambda: decode(number, ROOT, payload, TYPES),
        lambda: dumps(plain),
        lambda: encode(number, ROOT, nodes, TYPES),
    )
    for direction, bare, ours in (("decode", bare_in, ours_in), ("encode", bare_out, ours_out)):
        print(
            f"{NAMES[number]} {direction}, {what}: {ours / bare:.2f} "
            f"({ours:.1f} us, library {bare:.1f} us), asked: at most {ASKED[number]}"
        )
    print(f"{NAMES[number]} both, {what}: {(ours_in + ours_out) / (bare_in + bare_out):.2f}")


def main() -> None:
    """Print all figures."""
    for number in LIBRARIES:
        compare(number, "50 values", sensors())
        compare(number, "50 values with times", history())
    device = Path((3, 0))
    nodes = decode(TLV, device, DEVICE, TYPES)
    inward, outward = fastest(lambda: decode(TLV, device, DEVICE, TYPES), lambda: encode(TLV, device, nodes, TYPES))
    print(f"tlv decode, Device of {len(DEVICE)} bytes: {inward:.1f} us, asked: at most 60")
    print(f"tlv encode, Device of {len(DEVICE)} bytes: {outward:.1f} us, asked: at most 60")


if __name__ == "__main__":
    main()
