"""Tests of `lwm2md.lwm2m.lwm2mcbor`."""

from __future__ import annotations

import math
import time
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import LWM2M_CBOR
from lwm2md.lwm2m import formats, lwm2mcbor
from lwm2md.lwm2m.leaves import MULTIPLE_FOR_SINGLE, SINGLE_FOR_MULTIPLE
from lwm2md.lwm2m.nodes import ContentError, Entry, Nodes
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.typed import FLOAT_FOR_INTEGER, TIME_AS_TEXT
from lwm2md.lwm2m.values import ObjectLink, Value
from tests.lwm2m.helpers import ANYTHING_TYPES, TYPES, flat, nodes, objects, one, path, single_values

WRITTEN: list[tuple[str, str, dict[str, Value | None]]] = [
    ("/13/26/1", "A1830D181A01182A", {"/13/26/1": 42}),
    ("/13/26/1", "A1830D181A01F5", {"/13/26/1": True}),
    ("/3/0", "a103a100a4006441434d450918640ba10000106155",
     {"/3/0/0": "ACME", "/3/0/9": 100, "/3/0/11/0": 0, "/3/0/16": "U"}),
    ("/", "a2830300091864830100011a00015180", {"/3/0/9": 100, "/1/0/1": 86400}),
    ("/3303", "a1190ce7a200a1191644f94d6001a1191644f94d90", {"/3303/0/5700": 21.5, "/3303/1/5700": 22.25}),
    ("/3/0/6", "a183030006a200010105", {"/3/0/6/0": 1, "/3/0/6/1": 5}),
    ("/1", "a101a200a7001865011a000151800219012c03191770051a0001518006f507615501a7001866011a0001518002190258031917"
     "70051a0001518006f4076155",
     {"/1/0/0": 101, "/1/0/1": 86400, "/1/0/2": 300, "/1/0/3": 6000, "/1/0/5": 86400, "/1/0/6": True, "/1/0/7": "U",
      "/1/1/0": 102, "/1/1/1": 86400, "/1/1/2": 600, "/1/1/3": 6000, "/1/1/5": 86400, "/1/1/6": False, "/1/1/7": "U"}),
    ("/3/0/0", "a1830300007414" "4f70656e204d6f62696c6520416c6c69616e6365".removeprefix(""), {}),
]  # fmt: skip
"""Payloads that are what is written for the values, and what they are read as."""
del WRITTEN[-1]
