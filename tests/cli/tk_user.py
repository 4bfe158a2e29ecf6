"""Run a Tk program and use it as a person does: look at its widgets and press its button.

``test_samples`` starts this. Each step waits until its expected state is visible. The program runs unchanged.
"""

import runpy
import sys
import threading
import tkinter as tk
from typing import Any, Callable, Iterator


def use(root: tk.Tk) -> Iterator[Callable[[], object]]:
    """Run the steps. Each yields a condition to wait for before the next step."""
    text, partial, button = root.winfo_children()
    widgets: Any = {"text": text, "partial": partial, "button": button}
    says = lambda name: widgets[name].cget("text")  # noqa: E731

    widgets["button"].invoke()
    yield lambda: says("button") == "Stop"
    print("Start: the button says Stop")
    yield lambda: "\n" in widgets["text"].get("1.0", "end-1c")
    print("words:", widgets["text"].get("1.0", "1.end"))
    widgets["button"].invoke()
    yield lambda: says("button") == "Start"
    print("Stop: the button says Start")
    widgets["partial"].config(text="")
    widgets["button"].invoke()
    yield lambda: says("button") == "Stop"
    print("Start: the button says Stop")
    yield lambda: says("partial")
    print("a partial in gray")
    root.tk.call(*root.tk.splitlist(root.protocol("WM_DELETE_WINDOW")))


def mainloop(root: tk.Tk, n: int = 0) -> None:
    steps = use(root)
    condition: Callable[[], object] = lambda: True  # noqa: E731

    def look() -> None:
        nonlocal condition
        if condition():
            following = next(steps, None)
            if following is None:
                return
            condition = following
        root.after(10, look)

    root.after(0, look)
    real_mainloop(root, n)
    left = [each.name for each in threading.enumerate() if each.name in ("slng-io", "slng-capture")]
    print("closed, and no session is left" if not left else f"left: {left}")


real_mainloop: Any = tk.Misc.mainloop
tk.Misc.mainloop = mainloop  # type: ignore[assignment,method-assign]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
