"""Which microphones there are, and which of them is meant."""

import locale
from dataclasses import dataclass
from typing import List, Optional, Sequence, Union

from ..errors import ConfigurationError, DeviceNotFound

__all__ = ["Device", "check_choice", "choose", "find_again", "readable"]


@dataclass(frozen=True)
class Device:
    """An input device: ``sample_rate`` is its preferred one in Hz, ``channels`` the most that it has."""

    index: int
    name: str
    sample_rate: int
    channels: int
    host_api: str
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.index}: {self.name!r} ({self.host_api})"


def check_choice(device: object) -> None:
    """Raise ConfigurationError unless ``device`` can mean a device: None, an index, or a part of a name."""
    if device is None or (isinstance(device, str) and device.strip()):
        return
    if isinstance(device, int) and not isinstance(device, bool) and device >= 0:
        return
    raise ConfigurationError(
        f"device must be an index from Microphone.devices(), a part of a name, or None, not {device!r}."
    )


def choose(devices: Sequence[Device], device: Union[int, str, None]) -> Device:
    """Return the device that is meant: that of an index, that of a name or a part of it, or the default.

    Raises DeviceNotFound, which lists what there is.
    """
    if not devices:
        raise DeviceNotFound(
            "There is no microphone.",
            hint="Connect one, and see whether the system's sound settings list it.",
        )
    if device is None:
        return next((found for found in devices if found.is_default), devices[0])
    if isinstance(device, int):
        matches = [found for found in devices if found.index == device]
    else:
        matches = _named(devices, device.strip().casefold())
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DeviceNotFound(
            f"The name {device!r} fits {len(matches)} microphones: {_listed(matches)}.",
            hint="Give more of it.",
        )
    raise DeviceNotFound(f"There is no microphone {device!r}.", hint=f"There are: {_listed(devices)}.")


def find_again(devices: Sequence[Device], device: Device) -> Device:
    """Return a device that was away and is back, whose index may be another one by now.

    Raises DeviceNotFound.
    """
    same = [found for found in devices if (found.name, found.host_api) == (device.name, device.host_api)]
    # Two of the same name: the one at the same place, if there is one.
    same.sort(key=lambda found: found.index != device.index)
    if not same:
        raise DeviceNotFound(f"The microphone {device.name!r} is not back.", hint="Connect it again.")
    return same[0]


def _named(devices: Sequence[Device], name: str) -> List[Device]:
    exact = [found for found in devices if found.name.casefold() == name]
    matches = exact or [found for found in devices if name in found.name.casefold()]
    # Windows lists each microphone once for each of its sound systems: that of the default one is meant.
    preferred = next((found.host_api for found in devices if found.is_default), None)
    return [found for found in matches if found.host_api == preferred] or matches


def _listed(devices: Sequence[Device]) -> str:
    return ", ".join(str(device) for device in devices)


def readable(name: Union[str, bytes], encoding: Optional[str] = None) -> str:
    """Return a device's name as its maker wrote it.

    PyAudio decodes names, which are UTF-8, by the encoding of the locale first, and leaves bytes where
    nothing fits.
    """
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    try:
        return name.encode(encoding or locale.getpreferredencoding(False)).decode("utf-8")
    except (UnicodeError, LookupError):
        return name
