"""The balloon of a config: what `/sim` takes as parameters, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from habsim.balloons import BalloonSpec, chute_rate
from habsim.classes import Balloon
from habsim.envelopes import ENVELOPES, GASES
from habsim.errors import BadRequestError
from habsim.montecarlo import MAX_ALTITUDE
from habsim.sizing import Site, Wish, filled


def balloon_of(config: Mapping[str, Any], altitude: float = 0.0) -> tuple[Balloon, BalloonSpec | None]:
    """How a balloon moves and, of the profile `physical`, what it is, filled at `altitude` m; values are right.

    Raises BadRequestError for a gas balloon that cannot fly.
    """
    coast, drift = (config.get("eqtime") or 0.0) * 3600.0, config.get("coeff", 1.0)
    if config.get("profile") != "physical":
        return Balloon(config["asc"], config["desc"], config["equil"], coast, drift), None
    mass, descent = config["payload_mass"], config.get("desc")
    wish = Wish(config.get("volume"), config.get("free_lift"), config.get("asc"), config.get("equil"))
    gas = GASES[config.get("lift_gas_type") or "helium"]
    if config["envelope"] not in ENVELOPES:
        raise BadRequestError(f"there is no envelope {config['envelope']} any more; take another")
    spec = filled(ENVELOPES[config["envelope"]], gas, mass, wish, Site(altitude))
    if descent is None:
        descent = chute_rate(mass, config["chute_diameter"])
    return Balloon(1.0, descent, MAX_ALTITUDE, coast, drift), spec
