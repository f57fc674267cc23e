"""The kernels compile for three GPU generations, and no operation is contracted."""

import re

import pytest

from engine.backends.kernels import (
    COMPILE_OPTIONS,
    KERNELS,
    PLAIN,
    SPECIALISED,
    Variant,
    read_source,
)
from tests.host_cuda.nvrtc import compile_ptx

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
CUPY_OPTION = "--device-as-default-execution-space"
"""What `cupy.cuda.compiler.compile_using_nvrtc` adds to the options of a back end."""
SOURCES = sorted(set(KERNELS.values()))
COORDINATIONS = (2, 4, 6, 8, 12)
LAGGED = (4, 12)
"""Coordinations that are compiled for a phase lag too: a lag knows of no neighbour."""
VARIANTS = [(source, PLAIN) for source in SOURCES if source not in SPECIALISED]
VARIANTS += [
    (source, Variant(neighbours, is_lagged))
    for source in sorted(SPECIALISED)
    for is_lagged, coordinations in ((False, COORDINATIONS), (True, LAGGED))
    for neighbours in coordinations
]
DOUBLES = {"mean.cu"}
"""Files that take a mean in double, by operations of one rounding each."""
# Contraction, flushed subnormals and approximate units all change bits. A plain
# `mul.f32` may be contracted later by ptxas; `mul.rn.f32` may not.
FORBIDDEN = re.compile(
    r"\b(?:fma\.\S+|mad\.\S*f32|\S+\.ftz\S*|\S+\.approx\S*|\S+\.full\S*"
    r"|(?:add|sub|mul|div)\.f(?:32|64))"
)
DOUBLE = re.compile(r"\b\S+\.f64\b")
# Takes the written fused operations away: what is left is what a compiler contracted.
UNFUSED = "#define SCRIBBLE_FUSED(a, b, c) ((a) * (b) + (c))\n"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.mark.parametrize(("source", "variant"), VARIANTS)
def test_ptx_is_plain_ieee(source, variant, architecture):
    options = (*COMPILE_OPTIONS, f"-arch={architecture}", CUPY_OPTION)
    ptx = compile_ptx(UNFUSED + read_source(source, variant), source, options)
    entries = set(re.findall(r"\.visible \.entry (\w+)\(", ptx))
    assert entries == {name for name, file in KERNELS.items() if file == source}
    assert f".target {architecture}" in ptx
    assert "mul.rn.f32" in ptx
    assert FORBIDDEN.findall(ptx) == []
    assert bool(DOUBLE.search(ptx)) == (source in DOUBLES)
    # Registers are counted on: no kernel may spill them to memory by arrays.
    assert ".local " not in ptx


@pytest.mark.parametrize("source", ["lattice.cu", "mean.cu", "motion.cu", "tunnel.cu"])
def test_written_fused_operations_stay(source):
    ptx = compile_ptx(
        read_source(source), source, (*COMPILE_OPTIONS, "-arch=sm_90", CUPY_OPTION)
    )
    assert set(FORBIDDEN.findall(ptx)) == {"fma.rn.f32"}


def test_a_lag_costs_only_where_it_is_compiled_for():
    options = (*COMPILE_OPTIONS, "-arch=sm_90")
    counts = [
        compile_ptx(read_source("lattice.cu", variant), "lattice.cu", options).count(
            "fma.rn.f32"
        )
        for variant in (PLAIN, Variant(4), Variant(4, is_lagged=True))
    ]
    assert counts[0] == counts[1] < counts[2]


def test_contraction_and_flushing_would_be_seen():
    """With NVRTC's defaults, or CuPy's for a `RawModule`, the same check fails."""
    text = UNFUSED + read_source("lattice.cu")
    for options in (("--std=c++17",), (*COMPILE_OPTIONS, "-ftz=true")):
        ptx = compile_ptx(text, "lattice.cu", (*options, "-arch=sm_80"))
        assert FORBIDDEN.search(ptx), options


def test_source_needs_no_include_path():
    for source in SOURCES:
        text = read_source(source)
        assert '#include "' not in text
        assert text.count("constexpr float S0 =") == 1
