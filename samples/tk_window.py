"""A window with live words. SLNG_API_KEY is the key.

The threads:

    main             Tk: the window, its buttons, and every callback of the client; never waits
    slng-connect     ours: opens a session, which may take seconds
    slng-callbacks   the session's: puts each delivery into ``inbox``, from which the main thread takes it
    slng-io, slng-capture, slng-microphone   the session's: connection and microphone; not our business
"""

import queue
import threading
import tkinter as tk

from slng_sync import Client, Closed, Microphone, SlngError, Soniox


class Window:
    """The main thread calls everything here but ``connect``."""

    def __init__(self, root):
        self.root = root
        self.session = None
        self.running = False
        self.inbox = queue.SimpleQueue()
        self.client = Client(
            Soniox(),
            dispatch=self.inbox.put,
            on_partial=lambda transcript: self.partial.config(text=transcript.text),
            on_final=lambda transcript: self.text.insert("end", transcript.text + "\n"),
            on_error=self.failed,
            on_event=self.happened,
        )
        root.title("slng_sync")
        self.text = tk.Text(root, width=70, height=15, wrap="word")
        self.partial = tk.Label(root, fg="gray", anchor="w")
        self.button = tk.Button(root, text="Start", command=self.start)
        for widget in (self.text, self.partial, self.button):
            widget.pack(fill="x")
        root.protocol("WM_DELETE_WINDOW", self.quit)
        self.take_deliveries()

    def take_deliveries(self):
        """Run what the other threads have put into the inbox; Tk itself may only be used here."""
        while not self.inbox.empty():
            self.inbox.get()()
        self.root.after(30, self.take_deliveries)

    def start(self):
        self.running = True
        self.button.config(text="Connecting", state="disabled")
        threading.Thread(target=self.connect, name="slng-connect", daemon=True).start()

    def connect(self):
        try:
            session = self.client.listen(Microphone())
        except SlngError as error:
            self.inbox.put(lambda error=error: (self.failed(error), self.ended()))
        else:
            self.inbox.put(lambda: self.started(session))

    def started(self, session):
        # It may have ended already, as it does without a microphone.
        if self.running:
            self.session = session
            self.button.config(text="Stop", state="normal", command=self.stop)

    def stop(self):
        # Does not wait: the last words still come, and then the event Closed.
        self.button.config(text="Waiting for the last words", state="disabled")
        self.session.begin_close()

    def happened(self, event):
        if isinstance(event, Closed):
            self.ended()

    def failed(self, error):
        self.partial.config(text=str(error))

    def ended(self):
        self.session = None
        self.running = False
        self.button.config(text="Start", state="normal", command=self.start)

    def quit(self):
        if self.session is not None:
            self.session.close(timeout=2)
        self.root.destroy()


if __name__ == "__main__":
    root = tk.Tk()
    Window(root)
    root.mainloop()
