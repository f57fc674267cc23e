"""GPUs: the real binding, its functions replaced by autospec fakes with a script."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psutil
import pynvml
import pytest

from engine.config import ResourcesConfig
from engine.monitor import device, nvml
from engine.monitor.gpu import GpuSampler

CONFIG = ResourcesConfig()
OWN_PID = 4242
UUID = "GPU-11111111-2222-3333-4444-555555555555"


def refuse(code: int) -> Exception:
    return pynvml.NVMLError(code)


def build_process(pid: int, memory: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=memory)


class Script:
    """Answers of one device; an exception as an answer is raised."""

    def __init__(self) -> None:
        gib = 2**30
        self.calls: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlSystemGetDriverVersion": "570.1",
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetUUID": UUID,
            "nvmlDeviceGetName": "Paper GPU",
            "nvmlDeviceGetPciInfo": SimpleNamespace(busId=b"00000000:3B:00.0"),
            "nvmlDeviceGetMigMode": refuse(pynvml.NVML_ERROR_NOT_SUPPORTED),
            "nvmlDeviceGetMaxMigDeviceCount": 0,
            "nvmlDeviceGetMigDeviceHandleByIndex": None,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=80, memory=10),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(
                total=80 * gib, used=30 * gib, free=50 * gib
            ),
            "nvmlDeviceGetPowerUsage": 350_500,
            "nvmlDeviceGetTotalEnergyConsumption": 1_000_000,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x5,
            "nvmlDeviceGetComputeRunningProcesses": [],
            "nvmlDeviceGetGraphicsRunningProcesses": [],
            "nvmlDeviceGetProcessUtilization": refuse(pynvml.NVML_ERROR_NOT_FOUND),
        }
        self.counts: dict[str, int] = dict.fromkeys(self.calls, 0)

    def __getitem__(self, call: str) -> Any:
        return self.calls[call]

    def __setitem__(self, call: str, answer: Any) -> None:
        assert call in self.calls
        self.calls[call] = answer

    def answer(self, call: str, *arguments: Any) -> Any:
        self.counts[call] += 1
        answer = self.calls[call]
        if callable(answer):
            return answer(*arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    scripted = Script()
    monkeypatch.setattr(psutil, "pid_exists", lambda _: True)
    with ExitStack() as stack:
        for call in scripted.calls:
            fake = stack.enter_context(mock.patch.object(pynvml, call, autospec=True))
            fake.side_effect = lambda *given, _call=call: scripted.answer(_call, *given)
        yield scripted


def start_sampler() -> GpuSampler:
    sampler = GpuSampler(CONFIG, library=pynvml, own_pid=OWN_PID)
    sampler.start()
    return sampler


def test_every_field_of_a_full_device(script: Script) -> None:
    script["nvmlDeviceGetComputeRunningProcesses"] = [
        build_process(OWN_PID, 20 * 2**30),
        build_process(1, 5 * 2**30),
    ]
    script["nvmlDeviceGetProcessUtilization"] = [
        SimpleNamespace(pid=OWN_PID, timeStamp=5, smUtil=10),
        SimpleNamespace(pid=OWN_PID, timeStamp=9, smUtil=50),
        SimpleNamespace(pid=1, timeStamp=9, smUtil=30),
    ]
    sampler = start_sampler()
    (gpu,) = sampler.sample(0.0)
    assert (gpu.uuid, gpu.pci_bus_id) == (UUID, "00000000:3B:00.0")
    assert (gpu.utilisation, gpu.own_utilisation) == (0.8, 0.5)
    assert gpu.others_utilisation == pytest.approx(0.3)
    assert gpu.available_memory_share == pytest.approx(70 / 80)
    assert (gpu.power_w, gpu.energy_j, gpu.temperature_c) == (350.5, 1000.0, 61.0)
    assert (gpu.sm_clock_mhz, gpu.memory_clock_mhz) == (1980, 1980)
    assert gpu.clock_event_reasons == ("gpu_idle", "sw_power_cap")
    assert sampler.probe.is_present
    expected = f"NVML: driver 570.1, Paper GPU ({UUID}), all fields."
    assert sampler.probe.message == expected


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "NVML: driver not loaded: "),
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "NVML: shared library not found: "),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "versions differ"),
        (pynvml.NVML_ERROR_TIMEOUT, "NVML: Timeout."),
    ],
)
def test_no_driver_gives_a_sentence_and_no_gpu(
    script: Script, code: int, words: str
) -> None:
    script["nvmlInit"] = refuse(code)
    sampler = start_sampler()
    assert words in sampler.probe.message
    assert not sampler.probe.is_present
    assert sampler.sample(0.0) == ()
    sampler.close()
    assert script.counts["nvmlShutdown"] == 0


def test_missing_binding_names_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.load_library() is None
    sampler = GpuSampler(CONFIG)
    assert "pip install nvidia-ml-py" in sampler.start().message


def test_unsupported_fields_are_none_and_not_asked_again(script: Script) -> None:
    refused = refuse(pynvml.NVML_ERROR_NOT_SUPPORTED)
    script["nvmlDeviceGetMemoryInfo"] = refused
    script["nvmlDeviceGetTotalEnergyConsumption"] = refused
    script["nvmlDeviceGetComputeRunningProcesses"] = refused
    sampler = start_sampler()
    (gpu,) = sampler.sample(0.0)
    sampler.sample(100.0)
    assert gpu.memory_total_bytes is None
    assert gpu.energy_j is None
    assert gpu.own_utilisation is None
    assert script.counts["nvmlDeviceGetMemoryInfo"] == 1
    assert "without compute processes, energy, memory" in sampler.probe.message


def test_older_binding_lacks_a_function(script: Script) -> None:
    names = vars(pynvml).copy()
    del names["nvmlDeviceGetCurrentClocksEventReasons"]
    older = SimpleNamespace(**names)
    sampler = GpuSampler(CONFIG, library=older, own_pid=OWN_PID)
    sampler.start()
    (gpu,) = sampler.sample(0.0)
    assert gpu.clock_event_reasons is None
    assert gpu.status == "ok"
    assert script.counts["nvmlDeviceGetClockInfo"] > 0


def test_transient_fault_gives_none_and_recovers(script: Script) -> None:
    sampler = start_sampler()
    healthy = script["nvmlDeviceGetUtilizationRates"]
    script["nvmlDeviceGetUtilizationRates"] = refuse(pynvml.NVML_ERROR_TIMEOUT)
    assert sampler.sample(0.0)[0].utilisation is None
    script["nvmlDeviceGetUtilizationRates"] = healthy
    assert sampler.sample(1.0)[0].utilisation == 0.8


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_lost_device_says_so_and_shows_no_old_figures(
    script: Script, code: int
) -> None:
    sampler = start_sampler()
    script["nvmlDeviceGetUtilizationRates"] = refuse(code)
    (gpu,) = sampler.sample(0.0)
    assert gpu.is_lost
    assert gpu.status == f"lost: {refuse(code)}"
    assert gpu.uuid == UUID
    assert gpu.memory_total_bytes is None
    asked = script.counts["nvmlDeviceGetUtilizationRates"]
    assert sampler.sample(0.9)[0].is_lost
    assert script.counts["nvmlDeviceGetUtilizationRates"] == asked


def test_device_lost_before_the_start(script: Script) -> None:
    script["nvmlDeviceGetHandleByIndex"] = refuse(pynvml.NVML_ERROR_GPU_IS_LOST)
    sampler = start_sampler()
    assert sampler.sample(0.0)[0].is_lost
    assert "lost" in sampler.probe.message


def test_mig_instances_follow_their_parent(script: Script) -> None:
    def find_instance(_: object, slot: int) -> str:
        if slot > 1:
            raise refuse(pynvml.NVML_ERROR_NOT_FOUND)
        return f"instance{slot}"

    def name_uuid(handle: str) -> str:
        return UUID if handle == "handle" else f"MIG-{handle}"

    script["nvmlDeviceGetMigMode"] = [1, 1]
    script["nvmlDeviceGetMaxMigDeviceCount"] = 7
    script["nvmlDeviceGetMigDeviceHandleByIndex"] = find_instance
    script["nvmlDeviceGetUUID"] = name_uuid
    script["nvmlDeviceGetUtilizationRates"] = refuse(pynvml.NVML_ERROR_NOT_SUPPORTED)
    gpus = start_sampler().sample(0.0)
    assert [gpu.uuid for gpu in gpus] == [UUID, "MIG-instance0", "MIG-instance1"]
    assert all(gpu.utilisation is None for gpu in gpus)
    assert all(gpu.memory_total_bytes is not None for gpu in gpus)


def test_sole_user_owns_all_utilisation_at_once(script: Script) -> None:
    script["nvmlDeviceGetComputeRunningProcesses"] = [build_process(OWN_PID, None)]
    sampler = start_sampler()
    script["nvmlDeviceGetUtilizationRates"] = SimpleNamespace(gpu=97)
    (gpu,) = sampler.sample(0.1)
    assert gpu.others_utilisation == 0.0
    assert gpu.own_memory_bytes is None


def test_use_is_unknown_where_process_ids_are_foreign(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script["nvmlDeviceGetComputeRunningProcesses"] = [build_process(9, 5)]
    monkeypatch.setattr(psutil, "pid_exists", lambda _: False)
    assert start_sampler().sample(0.0)[0].own_utilisation is None


@pytest.mark.parametrize(
    ("namespace", "use"), [("pid:[4026531836]", 0.0), ("pid:[4026532000]", None)]
)
def test_absence_from_the_list_means_zero_only_on_the_host(
    script: Script, monkeypatch: pytest.MonkeyPatch, namespace: str, use: float | None
) -> None:
    monkeypatch.setattr(os, "readlink", lambda _: namespace)
    script["nvmlDeviceGetComputeRunningProcesses"] = [build_process(9, 5)]
    (gpu,) = start_sampler().sample(0.0)
    assert gpu.own_utilisation == use
    assert (gpu.own_memory_bytes is None) == (use is None)


def test_groups_keep_their_own_periods(script: Script) -> None:
    sampler = start_sampler()
    script.counts = dict.fromkeys(script.calls, 0)
    for quarter in range(40):
        sampler.sample(quarter * 0.25)
    assert script.counts["nvmlDeviceGetUtilizationRates"] == 40
    assert script.counts["nvmlDeviceGetPowerUsage"] == 10
    assert script.counts["nvmlDeviceGetComputeRunningProcesses"] == 2


def test_power_comes_from_energy_over_a_second_at_least(script: Script) -> None:
    script["nvmlDeviceGetPowerUsage"] = refuse(pynvml.NVML_ERROR_NOT_SUPPORTED)
    config = ResourcesConfig(sample_period_s=0.25, slow_period_s=0.5)
    sampler = GpuSampler(config, library=pynvml, own_pid=OWN_PID)
    sampler.start()
    powers = []
    for half in range(5):
        script["nvmlDeviceGetTotalEnergyConsumption"] = 1_000_000 + half * 100_000
        powers.append(sampler.sample(half * 0.5)[0].power_w)
    assert powers[:2] == [None, None]
    assert powers[2:] == pytest.approx([200.0] * 3)
    assert device.MINIMUM_POWER_WINDOW_S >= 1.0


def test_close_shuts_nvml_down_once(script: Script) -> None:
    sampler = start_sampler()
    sampler.close()
    sampler.close()
    assert script.counts["nvmlShutdown"] == 1
    assert sampler.sample(0.0) == ()
    sampler.start()
    assert script.counts["nvmlInit"] == 2
