"""Each profile has the phases that its name promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from habsim import balloons, kernels, sizing
from habsim.classes import ElevationFile, Launches, Simulator
from habsim.envelopes import ENVELOPES, GASES
from habsim.profiles import PROFILES, Phase, Profile
from tests.worlds import START, launches, sample, uniform

# Phases, and whether altitude goes up (1), down (-1) or stays (0) as time goes on in each.
PHASES = {
    "zpb": {"ascent": 1, "coast": 0, "descent": -1},
    "standard": {"ascent": 1, "descent": -1},
    "float": {"ascent": 1, "coast": 0},
    "physical": {"ascent": 1, "coast": 0, "descent": -1},
    "reverse": {"ascent": 1},
}

SIMULATOR = Simulator(sample(uniform(10.0, 5.0)), ElevationFile.flat(100))
BALLOON = sizing.filled(ENVELOPES["kaymont-600"], GASES["helium"], 0.5, sizing.Wish(burst_altitude=20000.0))
PLAIN = launches(START + 40000.0, 45.0, 7.0, 5000.0, asc=5.0, desc=8.0, equil=20000.0, coast=1800.0)
LAUNCH = Launches(PLAIN.table, balloons.launches_of(PLAIN, np.array([BALLOON.row()])).climbs)


def test_every_profile_is_described_here() -> None:
    assert PROFILES.keys() == PHASES.keys()
    assert all(profile.name == name for name, profile in PROFILES.items())


@pytest.mark.parametrize("name", PHASES)
def test_profile_flies_its_phases(name: str) -> None:
    (trajectory,) = SIMULATOR.fly(LAUNCH, PROFILES[name], paths=1).trajectories
    assert trajectory is not None
    assert [phase.name for phase in trajectory.phases] == list(PHASES[name])
    for phase, way in zip(trajectory.phases, PHASES[name].values(), strict=True):
        points = phase.points
        assert np.sign(np.diff(points[:, 3]) / np.diff(points[:, 0])).tolist() == [way] * (len(points) - 1)
    for before, after in itertools.pairwise(trajectory.phases):
        np.testing.assert_array_equal(before.points[-1, :4], after.points[0, :4])


@pytest.mark.parametrize(
    ("name", "ends_on_ground"),
    [("zpb", True), ("standard", True), ("float", False), ("physical", True), ("reverse", True)],
)
def test_profile_ends_on_the_ground_or_aloft(name: str, ends_on_ground: bool) -> None:
    landing = SIMULATOR.fly(LAUNCH, PROFILES[name]).landing[0]
    assert landing[3] == (100.0 if ends_on_ground else 20000.0)


def test_reverse_goes_back_in_time_along_an_ascent() -> None:
    landing = SIMULATOR.fly(LAUNCH, PROFILES["reverse"]).landing[0]
    assert landing[0] == pytest.approx(START + 40000.0 - 4900.0 / 5.0, abs=0.1)
    assert landing[1] < 45.0  # it came from where the wind comes from
    assert landing[2] < 7.0


def test_coast_of_no_time_is_a_point() -> None:
    launch = launches(equil=10000.0, coast=0.0)
    (trajectory,) = SIMULATOR.fly(launch, PROFILES["zpb"], paths=1).trajectories
    assert trajectory is not None
    coast = trajectory.phases[1].points
    assert len(coast) == 1
    assert coast[0, 0] == trajectory.phases[0].points[-1, 0]


def test_launch_at_its_equilibrium_has_an_ascent_of_a_point() -> None:
    (trajectory,) = SIMULATOR.fly(launches(alt=10000.0, equil=10000.0), PROFILES["standard"], paths=1).trajectories
    assert trajectory is not None
    assert [len(phase.points) > 1 for phase in trajectory.phases] == [False, True]


def test_profile_is_data() -> None:
    """A new profile is a new chain: a dropsonde that falls for ten minutes and then hangs for five."""
    fall = Phase("fall", kernels.CONSTANT_RATE, kernels.DESCENT_RATE, -1, kernels.END_DURATION, kernels.COAST_SECONDS)
    hang = Phase("hang", kernels.CONSTANT_RATE, kernels.DESCENT_RATE, 0, kernels.END_DURATION, kernels.COAST_SECONDS)
    launch = launches(alt=10000.0, desc=10.0, coast=600.0)
    (trajectory,) = SIMULATOR.fly(launch, Profile("sonde", (fall, hang)), paths=1).trajectories
    assert trajectory is not None
    assert [phase.name for phase in trajectory.phases] == ["fall", "hang"]
    assert trajectory.landing[[0, 3]] == pytest.approx([START + 1200.0, 4000.0])
