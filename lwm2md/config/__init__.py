"""The INI configuration: the schema as data, reading and checking, and the pages that are made from it.

``load`` gives frozen ``Settings`` or raises ``ConfigErrors`` with every fault of every file at once.
``schema`` is the one place that says which settings exist. Nothing here opens a socket or knows Twisted.
"""

from __future__ import annotations

from lwm2md.config.addresses import Address
from lwm2md.config.errors import ConfigError, ConfigErrors
from lwm2md.config.loader import DEFAULT_FILE, load
from lwm2md.config.schema import Settings
from lwm2md.config.values import Secret

__all__ = ["DEFAULT_FILE", "Address", "ConfigError", "ConfigErrors", "Secret", "Settings", "load"]
