from typing import Any, Union

import pytest

from slng_sync.errors import ConfigurationError, DeviceNotFound
from slng_sync.microphone.device import Device, choose, readable
from slng_sync.microphone.microphone import Microphone

BUILT_IN = Device(0, "Built-in Microphone", 44100, 2, "Core Audio", is_default=True)
HEADSET = Device(3, "USB Headset", 48000, 1, "Core Audio")
HEADSET_PRO = Device(4, "USB Headset Pro", 48000, 1, "Core Audio")
DEVICES = [BUILT_IN, HEADSET, HEADSET_PRO]


@pytest.mark.parametrize(
    ("device", "meant"),
    [
        (None, BUILT_IN),
        (0, BUILT_IN),
        (4, HEADSET_PRO),
        ("built", BUILT_IN),
        ("  PRO ", HEADSET_PRO),
        ("usb headset", HEADSET),  # an exact name wins over a part of another
    ],
)
def test_the_device_that_is_meant(device: Union[int, str, None], meant: Device) -> None:
    assert choose(DEVICES, device) == meant


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (1, "There is no microphone 1. There are: 0: 'Built-in Microphone'"),
        (99, "There is no microphone 99"),
        ("telephone", "There is no microphone 'telephone'"),
        ("head", "fits 2 microphones: 3: 'USB Headset' .*, 4: 'USB Headset Pro'.* Give more of it"),
    ],
)
def test_no_device_or_too_many(device: Union[int, str], message: str) -> None:
    with pytest.raises(DeviceNotFound, match=message):
        choose(DEVICES, device)


def test_no_microphone_at_all() -> None:
    with pytest.raises(DeviceNotFound, match=r"There is no microphone\. Connect one"):
        choose([], None)


def test_without_a_default_the_first_one_is_meant() -> None:
    assert choose([HEADSET, HEADSET_PRO], None) == HEADSET


def test_on_windows_a_name_means_the_device_of_the_default_sound_system() -> None:
    by_mme = Device(1, "Headset", 44100, 2, "MME", is_default=True)
    by_wasapi = Device(9, "Headset", 48000, 1, "Windows WASAPI")
    assert choose([by_mme, by_wasapi], "headset") == by_mme


@pytest.mark.parametrize("device", [True, -1, 1.0, "", " ", b"usb", [0]])
def test_what_can_mean_no_device_is_refused_at_once(device: Any) -> None:
    with pytest.raises(ConfigurationError, match="device must be an index"):
        Microphone(device)


@pytest.mark.parametrize(
    ("name", "encoding", "written"),
    [
        ("Micro réseau", "utf-8", "Micro réseau"),
        ("Micro rÃ©seau", "cp1252", "Micro réseau"),
        ("Micro réseau", "cp1252", "Micro réseau"),
        ("Микрофон", "cp1252", "Микрофон"),
        (b"latin_\xe9", None, "latin_\ufffd"),
        ("plain", "no such encoding", "plain"),
    ],
)
def test_names_are_readable_however_they_come(name: Any, encoding: Any, written: str) -> None:
    assert readable(name, encoding) == written
