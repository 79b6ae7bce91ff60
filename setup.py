"""The one thing that setup.cfg can't say: extensions, left out where they can't be compiled."""

from __future__ import annotations

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            name,
            [name.replace(".", "/") + ".c"],
            extra_compile_args=["-Wall", "-Wextra"],
            optional=True,
            py_limited_api=True,
        )
        for name in ("lwm2md.coap._places", "lwm2md.net._batch")
    ]
)
