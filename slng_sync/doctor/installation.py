"""Checks of Python, the operating system and the installed packages."""

import importlib
import platform
import ssl
import sys
from typing import Dict, List, NamedTuple, Optional, Sequence

from .._version import __version__
from ..errors import SlngError
from .case import Case
from .check import OK, WARNING, Check, failed

__all__ = ["extras", "packages", "system"]

OLDEST = (3, 8)


class Package(NamedTuple):
    """A package: its name on PyPI, its module and an attribute to look for.

    An optional package also has its purpose and the extra that installs it.
    """

    name: str
    module: str
    attribute: str = "__name__"
    purpose: str = ""
    extra: str = ""


REQUIRED = (Package("websocket-client", "websocket", "WebSocket"), Package("numpy", "numpy", "ndarray"))
OPTIONAL = (
    Package("PyAudio", "pyaudio", "PyAudio", "microphones", "mic"),
    Package("soxr", "soxr", "resample", "microphones that refuse 16 kHz", "mic"),
    Package("soundfile", "soundfile", "SoundFile", "FLAC, OGG and MP3", "files"),
    Package("webrtcvad-wheels", "webrtcvad", "Vad", "telling speech from noise", "vad"),
    Package("websockets", "websockets", "__version__", "--local", "gateway"),
    Package("pocketsphinx", "pocketsphinx", "Decoder", "--local", "gateway"),
)


def system(case: Case) -> Check:
    """Check the versions of Python, this package and the operating system."""
    python, machine = platform.python_version(), platform.platform()
    figures = {
        "python": python,
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "slng_sync": __version__,
        "platform": machine,
        "openssl": ssl.OPENSSL_VERSION,
    }
    detail = f"slng_sync {__version__}, Python {python} ({figures['bits']} bit), {machine}"
    if sys.version_info[:2] < OLDEST:
        old = SlngError(f"{detail}: this Python is too old.", hint="Install Python 3.8 or later.")
        return failed("system", old, figures=figures)
    return Check("system", OK, detail, "", figures)


def packages(case: Case) -> Check:
    """Check the required packages."""
    found = [_look(package) for package in REQUIRED]
    faulty = [each for each in found if each.problem]
    if not faulty:
        return Check("packages", OK, _listed(found), "", _versions(found))
    names = " ".join(each.package.name for each in faulty)
    error = SlngError(
        f"{'; '.join(each.problem for each in faulty)}.",
        hint=f"{sys.executable} -m pip install --force-reinstall {names}",
    )
    return failed("packages", error, figures=_versions(found))


def extras(case: Case) -> Check:
    """Check the optional packages. A missing one is fine, a broken one is a warning."""
    found = [_look(package) for package in OPTIONAL]
    missing = [each.package for each in found if each.version is None]
    broken = [each for each in found if each.problem and each.version is not None]
    parts = [_listed(found), *(each.problem for each in broken)]
    parts += [f"without {package.name} (for {package.purpose})" for package in missing]
    cures = [f"{sys.executable} -m pip install --force-reinstall {each.package.name}" for each in broken]
    if missing:
        names = ",".join(dict.fromkeys(package.extra for package in missing))
        cures.append(f'If you need them: {sys.executable} -m pip install "slng-sync[{names}]"')
    detail = "; ".join(part for part in parts if part)
    return Check("extras", WARNING if broken else OK, detail, "\n".join(cures), _versions(found))


class Found(NamedTuple):
    """A package, its version (None if it is not installed), and what is wrong with it ("" for nothing)."""

    package: Package
    version: Optional[str]
    problem: str = ""


def _look(package: Package) -> Found:
    name, known = package.name, _version(package.name)
    try:
        module = importlib.import_module(package.module)
    except ModuleNotFoundError as error:
        if error.name == package.module:
            return Found(package, None, f"{name} is not installed")
        return Found(package, known or "broken", f"{name} cannot be imported ({error})")
    except Exception as error:
        # A library that does not fit this system may raise anything when it is imported.
        return Found(
            package, known or "broken", f"{name} cannot be imported ({type(error).__name__}: {error})"
        )
    if not hasattr(module, package.attribute):
        file = getattr(module, "__file__", None)
        return Found(package, known or "hidden", f"another module hides {name}: {file}")
    return Found(package, known or str(getattr(module, "__version__", "of unknown version")))


def _version(name: str) -> Optional[str]:
    """Return the version from the package's metadata, or None.

    A frozen program and the packages of some Linux distributions have no metadata.
    """
    # Imported here, because importlib.metadata imports the whole email package.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _versions(found: Sequence[Found]) -> Dict[str, Dict[str, Optional[str]]]:
    return {"versions": {each.package.name: each.version for each in found}}


def _listed(found: List[Found]) -> str:
    return ", ".join(f"{each.package.name} {each.version}" for each in found if not each.problem)
