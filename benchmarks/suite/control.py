"""The controller: a decision, and the windows that follow from it."""

from __future__ import annotations

PERIOD_STEPS = 40
PLANNED_LOG2_NODES = 12


class Decision:
    """What happens once per control period, under each objective."""

    params = (["fixed", "floor", "headroom", "pace"],)
    param_names = ("objective",)

    def setup(self, objective: str) -> None:
        from engine.config import ControllerConfig, LoadConfig, TunnelConfig
        from engine.monitor import ResourceMonitor, SyntheticSource
        from engine.tunnel import CostModel, TunnelController

        source = SyntheticSource(LoadConfig(kind="synthetic", level=0.4))
        cost = CostModel(2**20, 2**21, 0.00025, 1e-9, 4e-9)
        self.simulated_s = 0.0
        self.controller = TunnelController(
            ResourceMonitor(source=source),
            controller=ControllerConfig(objective=objective),
            cost=cost,
        )
        self._check(TunnelConfig().maximum_frequency_hz)

    def _check(self, maximum_hz: float) -> None:
        """Hold the law: max(required, min(offered, maximum)).

        Raises:
            ValueError: The decision is another one.
        """
        self.time_decision(self.controller.controller_config.objective)
        made = self.controller.decision
        wanted = max(made.required_hz, min(made.offered_hz, maximum_hz))
        if not 0.0 < made.frequency_hz <= maximum_hz * (1.0 + 1e-9) or (
            abs(made.frequency_hz - wanted) > 1e-9 * wanted
        ):
            raise ValueError(f"{made} is not the law's: not timed.")

    def time_decision(self, objective: str) -> None:
        self.simulated_s += 0.01
        self.controller.adjust_frequencies(0.9, self.simulated_s, local_coherence=0.9)


class Plan:
    """Planning the windows of a control period; the cost hardly knows the size."""

    def setup(self) -> None:
        from .engine_calls import TunnelCase, build_backend

        case = TunnelCase(build_backend("cpu"), PLANNED_LOG2_NODES, 101.98)
        self.schedule, self.tableau = case.schedule, case.period.tableau
        self._check(len(case.network), 101.98)

    def _check(self, bridges: int, frequency_hz: float) -> None:
        """Hold the count of attempts: bridges * f * time, but for a slot per layer.

        Raises:
            ValueError: Too many or too few bridges are due.
        """
        _, attempts = self.schedule.plan_period(PERIOD_STEPS, self.tableau)
        wanted = bridges * frequency_hz * PERIOD_STEPS * self.schedule.dt_s
        if abs(attempts - wanted) > 4 + 1:
            raise ValueError(f"{attempts} of {wanted:.1f} attempts due: not timed.")

    def time_period(self) -> None:
        self.schedule.plan_period(PERIOD_STEPS, self.tableau)
