"""Which device computes, in which precision, on how many threads."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from likeness.encoders.interface import Precision
from likeness.errors import SettingsError

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def choose_device(wanted: str) -> torch.device:
    """The device to compute on. "auto": a CUDA GPU, else Apple's, else the CPU.

    Raises SettingsError when `wanted` is not a device or not on this machine.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise SettingsError(
            f"device {wanted!r} is not a device; use auto, cpu, cuda, cuda:1 or mps"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device {wanted!r} is not on this machine ({torch.cuda.device_count()} CUDA GPUs); "
            "use auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("device 'mps' is not on this machine; use auto or cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"device {wanted!r} is not supported; use auto, cpu, cuda or mps")
    return device


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """The precision to compute in. "auto": half where the device multiplies in it natively.

    bf16 rather than fp16, whose range large towers overflow; fp16 on GPUs older than bf16.
    Raises SettingsError when `wanted` is not a precision, or fp16 on a CPU.
    """
    if wanted == "auto":
        if device.type == "cpu":
            return "bf16" if _cpu_multiplies_bf16() else "fp32"
        if device.type == "cuda":
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return "bf16"
            return "fp16" if torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"
        return "fp32"
    if wanted == "fp16" and device.type == "cpu":
        raise SettingsError("precision 'fp16' is slow and lossy on a CPU; use auto, bf16 or fp32")
    for precision in DTYPES:
        if wanted == precision:
            return precision
    raise SettingsError(f"precision {wanted!r} is unknown; use auto, fp32, bf16 or fp16")


def available_bytes(device: torch.device) -> int:
    """Memory that may still be used on a device: free memory of a GPU; on a CPU what the
    operating system calls available, or less where a container limits it."""
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return int(free)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min(_system_available_bytes(), _container_available_bytes())


def device_name(device: torch.device) -> str:
    """The make of a device: what a batch size that fits is a fact about."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the system, had no room for what was to be computed."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    said = str(error)
    return "can't allocate memory" in said or "not enough memory" in said


def use_threads(threads: int) -> None:
    """Let torch compute on `threads` CPU threads from now on, in this process.

    Loading an encoder never changes this: entry points do, from their settings.
    """
    if threads < 1:
        raise SettingsError(f"threads is {threads}, must be at least 1")
    torch.set_num_threads(threads)


def _cpu_multiplies_bf16() -> bool:
    """True on x86 with AVX512-BF16 or AMX; without them bf16 is emulated, slower than fp32."""
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, flag, bool)()) for flag in flags)


def _system_available_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def _container_available_bytes() -> int:
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        limit_text, used_text = limit.read_text().strip(), used.read_text().strip()
    except OSError:
        return 1 << 62
    if limit_text == "max":
        return 1 << 62
    return max(0, int(limit_text) - int(used_text))
