from typing import Any, Union

import pytest

from slng_sync.errors import ConfigurationError, DeviceNotFound
from slng_sync.microphone.device import Device, choose, decode_name
from slng_sync.microphone.microphone import Microphone

BUILT_IN = Device(0, "Built-in Microphone", 44100, 2, "Core Audio", is_default=True)
HEADSET = Device(3, "USB Headset", 48000, 1, "Core Audio")
HEADSET_PRO = Device(4, "USB Headset Pro", 48000, 1, "Core Audio")
DEVICES = [BUILT_IN, HEADSET, HEADSET_PRO]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (None, BUILT_IN),
        (0, BUILT_IN),
        (4, HEADSET_PRO),
        ("built", BUILT_IN),
        ("  PRO ", HEADSET_PRO),
        ("usb headset", HEADSET),  # an exact name takes precedence over a part of another
    ],
)
def test_a_device_is_chosen_by_index_or_name(device: Union[int, str, None], expected: Device) -> None:
    assert choose(DEVICES, device) == expected


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (1, "Microphone 1 not found. Available: 0: 'Built-in Microphone'"),
        (99, "Microphone 99 not found"),
        ("telephone", "Microphone 'telephone' not found"),
        ("head", "matches 2 microphones: 3: 'USB Headset' .*, 4: 'USB Headset Pro'.* Use a longer part"),
    ],
)
def test_no_match_or_several(device: Union[int, str], message: str) -> None:
    with pytest.raises(DeviceNotFound, match=message):
        choose(DEVICES, device)


def test_no_microphone_at_all() -> None:
    with pytest.raises(DeviceNotFound, match=r"No microphone found\. Connect one"):
        choose([], None)


def test_without_a_default_the_first_device_is_chosen() -> None:
    assert choose([HEADSET, HEADSET_PRO], None) == HEADSET


def test_on_windows_a_name_selects_the_host_api_of_the_default_device() -> None:
    by_mme = Device(1, "Headset", 44100, 2, "MME", is_default=True)
    by_wasapi = Device(9, "Headset", 48000, 1, "Windows WASAPI")
    assert choose([by_mme, by_wasapi], "headset") == by_mme


@pytest.mark.parametrize("device", [True, -1, 1.0, "", " ", b"usb", [0]])
def test_an_invalid_device_is_refused_by_the_constructor(device: Any) -> None:
    with pytest.raises(ConfigurationError, match="device must be an index"):
        Microphone(device)


@pytest.mark.parametrize(
    ("name", "encoding", "expected"),
    [
        ("Micro réseau", "utf-8", "Micro réseau"),
        ("Micro rÃ©seau", "cp1252", "Micro réseau"),
        ("Micro réseau", "cp1252", "Micro réseau"),
        ("Микрофон", "cp1252", "Микрофон"),
        (b"latin_\xe9", None, "latin_\ufffd"),
        ("plain", "no such encoding", "plain"),
    ],
)
def test_names_are_decoded_as_utf_8(name: Any, encoding: Any, expected: str) -> None:
    assert decode_name(name, encoding) == expected
