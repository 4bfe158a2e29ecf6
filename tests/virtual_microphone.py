"""A microphone without hardware: a private PulseAudio server whose null sink is the default input.

Audio played into it is captured bit for bit, if it has the sample rate of the device. All files are in a
temporary folder. Within the ``with`` block, environment variables point PortAudio to this server.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Dict, List, Optional, Type

NEEDED = ("pulseaudio", "paplay", "pactl")
PACKAGES = "apt-get install pulseaudio pulseaudio-utils libasound2-plugins"
START_SECONDS = 10.0

DAEMON = "load-module module-native-protocol-unix socket={folder}/native auth-cookie={folder}/cookie\n"
CLIENT = "autospawn = no\nenable-shm = no\n"
ALSA = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"


class VirtualMicrophone:
    """A context manager in which the default microphone captures the audio that is played into it.

    The device has this sample rate and number of channels. PulseAudio converts other formats.
    """

    def __init__(self, sample_rate: int = 16000, channels: int = 1) -> None:
        self.sample_rate = sample_rate
        self.channels = channels

    def __enter__(self) -> "VirtualMicrophone":
        missing = [program for program in NEEDED if shutil.which(program) is None]
        assert not missing, f"{', '.join(missing)} not found; the virtual microphone needs: {PACKAGES}"
        self._players: List[subprocess.Popen] = []
        self._folder = tempfile.mkdtemp(prefix="vmic-")
        self._write_configuration()
        self._outer = self._change_environment()
        self._daemon = self._start_daemon()
        try:
            self._wait_until_ready()
            self.plug()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.thaw()
        for player in self._players:
            player.kill()
            player.wait()
        self._daemon.terminate()
        self._daemon.wait()
        for name, value in self._outer.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(self._folder)

    def play(self, path: "os.PathLike[str] | str") -> subprocess.Popen:
        """Start to play an audio file into the microphone. ``.wait()`` waits for its end."""
        return self._paplay(str(path))

    def play_pcm(
        self,
        pcm: bytes,
        sample_rate: Optional[int] = None,
        channels: Optional[int] = None,
        *,
        device: str = "vmic",
    ) -> subprocess.Popen:
        """Start to play 16-bit PCM, by default in the microphone's own format."""
        path = os.path.join(self._folder, f"{len(self._players)}.raw")
        with open(path, "wb") as file:
            file.write(pcm)
        rate, count = sample_rate or self.sample_rate, channels or self.channels
        shape = f"--rate={rate}", f"--channels={count}"
        return self._paplay("--raw", "--format=s16le", *shape, path, device=device)

    def unplug(self) -> None:
        """Make the device disappear."""
        self._pactl("unload-module", self._sink)

    def plug(self) -> None:
        """Make the device appear as the default input."""
        self._sink = self.plug_another("vmic")

    def plug_another(self, name: str) -> str:
        """Make another device appear as the default input. Return its module id."""
        shape = f"format=s16le rate={self.sample_rate} channels={self.channels}"
        sink = self._pactl(
            "load-module", "module-null-sink", f"sink_name={name}", *shape.split(), "norewinds=1"
        )
        self._pactl("set-default-sink", name)
        self._pactl("set-default-source", f"{name}.monitor")
        return sink

    def mute(self, muted: bool = True) -> None:
        """Make the device deliver digital silence."""
        self._pactl("set-source-mute", "vmic.monitor", str(int(muted)))

    def suspend(self) -> None:
        """Make the device stall: it stays, and delivers no audio."""
        self._pactl("suspend-sink", "vmic", "1")

    def resume(self) -> None:
        """End the stall."""
        self._pactl("suspend-sink", "vmic", "0")

    def freeze(self) -> None:
        """Make the whole sound server hang."""
        self._daemon.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the sound server continue."""
        self._daemon.send_signal(signal.SIGCONT)

    def _paplay(self, *arguments: str, device: str = "vmic") -> subprocess.Popen:
        # With a low latency, paplay has underruns and inserts silence.
        player = subprocess.Popen(["paplay", "--latency-msec=500", f"--device={device}", *arguments])
        self._players.append(player)
        return player

    def _pactl(self, *arguments: str) -> str:
        return subprocess.run(
            ["pactl", *arguments], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def _write_configuration(self) -> None:
        texts = {"daemon.pa": DAEMON.format(folder=self._folder), "client.conf": CLIENT, "asound.conf": ALSA}
        for name, text in texts.items():
            with open(os.path.join(self._folder, name), "w") as file:
                file.write(text)

    def _change_environment(self) -> Dict[str, Optional[str]]:
        ours = {
            "PULSE_SERVER": f"unix:{self._folder}/native",
            "PULSE_COOKIE": f"{self._folder}/cookie",
            "PULSE_CLIENTCONFIG": f"{self._folder}/client.conf",
            "PULSE_RUNTIME_PATH": self._folder,
            # Without a pcm.!default in it, PortAudio aborts the process.
            "ALSA_CONFIG_PATH": f"{self._folder}/asound.conf",
        }
        outer = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        return outer

    def _start_daemon(self) -> subprocess.Popen:
        # If the test process crashes, the daemon ends by itself after a minute without use.
        options = (
            "--daemonize=no --system=false --use-pid-file=no --exit-idle-time=60"
            " --disable-shm=yes --realtime=no --high-priority=no"
        )
        command = ["pulseaudio", "-n", "-F", f"{self._folder}/daemon.pa", *options.split()]
        with open(os.path.join(self._folder, "log"), "w") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(
            ["pactl", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode:
            assert self._daemon.poll() is None and time.monotonic() < deadline, self._log()
            time.sleep(0.02)

    def _log(self) -> str:
        with open(os.path.join(self._folder, "log")) as log:
            return f"PulseAudio did not start:\n{log.read()}"
