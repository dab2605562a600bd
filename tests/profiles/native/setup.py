"""The package `native`: a compiled module that knows where its Python was built."""

import sys

from setuptools import Extension, setup

module = Extension(
    "native",
    ["native.c"],
    libraries=["z"],
    define_macros=[("PYTHON_PREFIX", f'"{sys.prefix}"')],
)
setup(name="native", version="1.0", ext_modules=[module], scripts=["show-native"])
