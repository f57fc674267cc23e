"""A stand-in for NVIDIA's NVML library, for machines without a GPU."""
