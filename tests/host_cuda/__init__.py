"""CUDA without a GPU: NVRTC to PTX, the formulas and whole kernels on the host.

Nothing here ships in the wheel. `nvrtc` compiles for real GPU architectures,
`compiler` finds a C++ compiler, `emulation.h` runs the real `.cu` files as loops,
`emulated_cupy` stands in for the few CuPy calls of `CudaBackend`, and `parity`
holds the comparisons that emulation and real devices share.
"""
