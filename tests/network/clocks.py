"""Clocks that stand still until a test moves them."""

from secdns.network.clocks import Clocks


class HandClocks:
    """Three clocks; whole seconds, so that differences are exact."""

    def __init__(self) -> None:
        self.boot, self.awake, self.wall = 5_000.0, 4_000.0, 1_800_000_000.0
        self.clocks = Clocks(lambda: self.boot, lambda: self.awake, lambda: self.wall)

    def pass_by(self, *, boot: float, awake: float, wall: float) -> None:
        """Move each clock by some seconds."""
        self.boot += boot
        self.awake += awake
        self.wall += wall

    def work(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        self.pass_by(boot=seconds, awake=seconds, wall=seconds)
