"""The one thing that setup.cfg can't say: an extension, left out where it can't be compiled."""

from __future__ import annotations

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "lwm2md.net._batch",
            ["lwm2md/net/_batch.c"],
            extra_compile_args=["-Wall", "-Wextra"],
            optional=True,
            py_limited_api=True,
        )
    ]
)
