"""Signals: pause, resume and stop a Labor from another thread, and say who did it and why.

A signal is acknowledged when all below has settled and is stored: after `ack.wait()` of a pause nothing is executing.
"""

import threading
import time

import cogwork as cw


@cw.cog
def install(host: str) -> None:
    time.sleep(0.05)


def operator(handle: cw.LaborHandle) -> None:
    """Somebody else, who watches and decides."""
    time.sleep(0.2)
    ack = handle.pause(by="alice", note="phone rings")
    ack.wait()
    print("paused:", ack.state.name, "- nothing is executing")

    handle.resume(by="alice").wait()
    print("resumed:", handle.state.name)

    time.sleep(0.1)
    ack = handle.stop(by="bob", note="INC-12")
    ack.wait()
    print("stopped:", ack.state.name)


def main() -> None:
    sequences = [cw.Sequence(f"edge-{number}", jobs=[install.job(host=f"edge-{number}")]) for number in range(200)]
    labor = cw.Labor("a long one", tasks=[cw.Task("all", concurrency=4, sequences=sequences)])
    with cw.Engine("memory:") as engine:
        handle = engine.submit(labor)
        thread = threading.Thread(target=operator, args=[handle])
        thread.start()
        done = handle.wait()
        thread.join()

        states = [sequence.state for sequence in done.tasks[0].sequences]
        print(states.count(cw.State.COMPLETED), "done,", states.count(cw.State.NOT_STARTED), "untouched")
        assert done.state is cw.State.STOPPED

        try:
            handle.resume(by="alice")
        except cw.SignalNotAllowed as error:
            print("too late:", error)


if __name__ == "__main__":
    main()
