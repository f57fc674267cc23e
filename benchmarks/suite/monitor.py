"""The monitor: a sample of the host, one of the GPUs, and a look at the newest."""

from __future__ import annotations


class HostSample:
    """Reading cores, memory, control groups and the own process."""

    def setup(self) -> None:
        from engine.monitor.host import HostSampler

        self.sampler = HostSampler()
        self.sampler.prime()
        memory = self.sampler.sample().memory
        if not 0 < memory.available_bytes <= memory.total_bytes:
            raise ValueError(f"{memory} is impossible: not timed.")

    def time_sample(self) -> None:
        self.sampler.sample()


class GpuSample:
    """Reading every GPU by NVML."""

    def setup(self) -> None:
        from engine.config import ResourcesConfig
        from engine.monitor.gpu import GpuSampler

        self.sampler = GpuSampler(ResourcesConfig())
        self.sampler.start()
        self.now_s = 0.0
        if not self.sampler.sample(self.now_s):
            reason = self.sampler.probe.message
            self.sampler.close()
            raise NotImplementedError(f"NVML shows no GPU: {reason}")

    def teardown(self) -> None:
        self.sampler.close()

    def time_sample(self) -> None:
        self.now_s += 0.25
        self.sampler.sample(self.now_s)


class Update:
    """A look at the newest sample, of this machine or of a simulated load."""

    params = (["live", "synthetic"],)
    param_names = ("source",)

    def setup(self, source: str) -> None:
        from engine.config import LoadConfig
        from engine.monitor import ResourceMonitor, SyntheticSource

        load = LoadConfig(kind="synthetic", level=0.4)
        taken = SyntheticSource(load) if source == "synthetic" else None
        self.monitor = ResourceMonitor(source=taken)
        seen = self.monitor.update()
        if not 0.0 < seen.availability <= 1.0:
            raise ValueError(f"Availability is {seen.availability}: not timed.")

    def teardown(self, source: str) -> None:
        self.monitor.close()

    def time_update(self, source: str) -> None:
        self.monitor.update()
