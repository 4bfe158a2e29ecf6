"""Input devices, and how to choose one by index or name."""

import locale
from dataclasses import dataclass
from typing import List, Optional, Sequence, Union

from ..errors import ConfigurationError, DeviceNotFound

__all__ = ["Device", "check_choice", "choose", "decode_name", "find_again"]


@dataclass(frozen=True)
class Device:
    """An input device. ``sample_rate`` is its default in Hz, ``channels`` its maximum."""

    index: int
    name: str
    sample_rate: int
    channels: int
    host_api: str
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.index}: {self.name!r} ({self.host_api})"


def check_choice(device: object) -> None:
    """Raise ``ConfigurationError`` unless ``device`` is None, an index, or a part of a name."""
    if device is None or (isinstance(device, str) and device.strip()):
        return
    if isinstance(device, int) and not isinstance(device, bool) and device >= 0:
        return
    raise ConfigurationError(
        f"device must be an index from Microphone.devices(), part of a name, or None, not {device!r}."
    )


def choose(devices: Sequence[Device], device: Union[int, str, None]) -> Device:
    """Return the device with that index, with that name or part of a name, or the default device.

    Raises ``DeviceNotFound``, which lists the devices.
    """
    if not devices:
        raise DeviceNotFound(
            "No microphone found.",
            hint="Connect one, and check that the system's sound settings list it.",
        )
    if device is None:
        return next((found for found in devices if found.is_default), devices[0])
    if isinstance(device, int):
        matches = [found for found in devices if found.index == device]
    else:
        matches = _match_name(devices, device.strip().casefold())
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise DeviceNotFound(
            f"The name {device!r} matches {len(matches)} microphones: {_describe(matches)}.",
            hint="Use a longer part of the name, or the index.",
        )
    raise DeviceNotFound(f"Microphone {device!r} not found.", hint=f"Available: {_describe(devices)}.")


def find_again(devices: Sequence[Device], device: Device) -> Device:
    """Return ``device`` after it was reconnected. Its index may have changed.

    Raises ``DeviceNotFound`` if it is not connected.
    """
    same = [found for found in devices if (found.name, found.host_api) == (device.name, device.host_api)]
    # If two devices have the same name, prefer the one with the same index.
    same.sort(key=lambda found: found.index != device.index)
    if not same:
        raise DeviceNotFound(f"Microphone {device.name!r} is still disconnected.", hint="Connect it again.")
    return same[0]


def _match_name(devices: Sequence[Device], name: str) -> List[Device]:
    exact = [found for found in devices if found.name.casefold() == name]
    matches = exact or [found for found in devices if name in found.name.casefold()]
    # Windows lists each microphone once per host API. Prefer the host API of the default device.
    preferred = next((found.host_api for found in devices if found.is_default), None)
    return [found for found in matches if found.host_api == preferred] or matches


def _describe(devices: Sequence[Device]) -> str:
    return ", ".join(str(device) for device in devices)


def decode_name(name: Union[str, bytes], encoding: Optional[str] = None) -> str:
    """Return the name of a device, decoded as UTF-8.

    Names are UTF-8, but PyAudio first decodes them with the encoding of the locale, and returns bytes if
    decoding fails. ``encoding`` defaults to that of the locale.
    """
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    try:
        return name.encode(encoding or locale.getpreferredencoding(False)).decode("utf-8")
    except (UnicodeError, LookupError):
        return name
