"""Show a live transcript in a Tk window. Needs the API key in SLNG_API_KEY.

The threads:

    main             runs Tk: the window, its buttons and all callbacks of the client; never waits
    slng-connect     started here: opens a session, which may take seconds
    slng-io, slng-capture, slng-microphone   threads of slng_sync: connection, audio, microphone

The client calls ``dispatch`` on a thread of slng_sync. It puts each delivery into ``inbox``, and the main
thread runs it.
"""

import queue
import threading
import tkinter as tk

from slng_sync import Client, Closed, Microphone, SlngError, Soniox


class Window:
    """The window. All methods except ``connect`` run on the main thread."""

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
            on_error=self.show_error,
            on_event=self.handle_event,
        )
        root.title("slng_sync")
        self.text = tk.Text(root, width=70, height=15, wrap="word")
        self.partial = tk.Label(root, fg="gray", anchor="w")
        self.button = tk.Button(root, text="Start", command=self.start)
        for widget in (self.text, self.partial, self.button):
            widget.pack(fill="x")
        root.protocol("WM_DELETE_WINDOW", self.quit)
        self.run_deliveries()

    def run_deliveries(self):
        """Run the deliveries in the inbox. Only the main thread may use Tk."""
        while not self.inbox.empty():
            self.inbox.get()()
        self.root.after(30, self.run_deliveries)

    def start(self):
        self.running = True
        self.button.config(text="Connecting", state="disabled")
        threading.Thread(target=self.connect, name="slng-connect", daemon=True).start()

    def connect(self):
        try:
            session = self.client.listen(Microphone())
        except SlngError as error:
            self.inbox.put(lambda error=error: (self.show_error(error), self.ended()))
        else:
            self.inbox.put(lambda: self.started(session))

    def started(self, session):
        # The session may have ended already, for example without a microphone.
        if self.running:
            self.session = session
            self.button.config(text="Stop", state="normal", command=self.stop)

    def stop(self):
        # begin_close does not wait. The last words arrive later, then the event Closed.
        self.button.config(text="Waiting for the last words", state="disabled")
        self.session.begin_close()

    def handle_event(self, event):
        if isinstance(event, Closed):
            self.ended()

    def show_error(self, error):
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
