"""What balloons are made of, as data with sources: gases, envelopes, gas cylinders.

Masses in kg, lengths in m, volumes in m^3. Maker's figures are as the maker or the named collection publishes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["latex", "zero-pressure", "super-pressure"]

AIR_MOLAR_MASS = 28.9644e-3  # kg/mol, U.S. Standard Atmosphere 1976, table 3
POLYETHYLENE_DENSITY = 920.0  # kg/m^3, low-density polyethylene, ISO 1872-1 (0.91 to 0.925 g/cm^3)
# Surface of a sphere of 1 m^3, m^2. An envelope of the natural shape has about 2 % more.
SPHERE_SURFACE = math.cbrt(36.0 * math.pi)
# Seams, load tapes, caps and fittings on top of the bare film: calibrated, so that jaxa-b80 and raven-40mcf float
# within 4 % of the altitudes published for them. Other flights floated up to 7 % lower or higher than it says.
FITTINGS = 1.5

_CUSF = "CUSF balloon burst calculator, js/calc.js (2024)"
_TOTEX = f"Totex/Kaymont sounding balloon data, in {_CUSF}"
# Where Totex publishes ascent rates: ukhas.org.uk/guides:balloon_data.
_RISES = f"{_TOTEX}; its drag gives Totex's own ascent rate to 5 %"
_DISCONTINUED = f'{_RISES}; "Discontinued?" there'
_GUESSED = "its drag is guesswork, as its comment says"
_HWOYEE = f"Hwoyee product page of 2024-11, in {_CUSF}; {_GUESSED}"
_OLDER_HWOYEE = f"an older page of Hwoyee's, in {_CUSF}; {_GUESSED}"
_PAWAN = f"Random Aerospace's page, in {_CUSF}; {_GUESSED}"


@dataclass(frozen=True)
class Gas:
    """A lifting gas; `molar_mass` kg/mol. A cylinder holds `cylinder_share` times as much of it as of helium."""

    name: str
    molar_mass: float
    cylinder_share: float
    source: str

    @property
    def lightness(self) -> float:
        """How many times heavier air of the same pressure and temperature is."""
        return AIR_MOLAR_MASS / self.molar_mass


@dataclass(frozen=True)
class Envelope:
    """A balloon without its gas.

    `volume` m^3: of a latex envelope when it bursts, else when it is full. `drag` is the coefficient on the cross
    section of a sphere of the gas's volume. `pressure_limit` Pa is what a super-pressure envelope stands above the air.
    A `discontinued` one may still be in somebody's store; nobody is advised to take it.
    """

    name: str
    kind: Kind
    maker: str
    mass: float
    volume: float
    drag: float
    source: str
    pressure_limit: float | None = None
    discontinued: bool = False

    @property
    def diameter(self) -> float:
        """Of the sphere of that volume, m: a latex envelope's burst diameter."""
        return sphere_diameter(self.volume)


@dataclass(frozen=True)
class Cylinder:
    """A gas cylinder. `contents` m^3 of helium at 15 C and 1013.25 hPa."""

    name: str
    contents: float
    source: str


def sphere_volume(diameter: float) -> float:
    """m^3, of a diameter in m."""
    return math.pi / 6.0 * diameter**3


def sphere_diameter(volume: float) -> float:
    """m, of a volume in m^3."""
    return math.cbrt(6.0 * volume / math.pi)


def film_mass(volume: float, thickness: float) -> float:
    """Mass in kg of a polyethylene envelope of `volume` m^3 made of film of `thickness` m: an estimate."""
    return FITTINGS * SPHERE_SURFACE * math.cbrt(volume) ** 2 * thickness * POLYETHYLENE_DENSITY


def _latex(maker: str, source: str, size: tuple[int, float, float]) -> Envelope:
    """Of `size`: grams, burst diameter in m, drag coefficient."""
    grams, burst_diameter, drag = size
    name = f"{maker.partition('/')[0].lower()}-{grams}"
    volume, discontinued = sphere_volume(burst_diameter), source == _DISCONTINUED
    return Envelope(name, "latex", maker, grams / 1000.0, volume, drag, source, discontinued=discontinued)


# Contents of cylinders: by the compressibilities of the Beattie-Bridgeman equation at 15 C (tabulated by Holley,
# Worlton and Zeigler, Los Alamos), which gives 0.98 and 0.97 times as much hydrogen as helium at 140 and 200 bar, and
# 1.36 and 1.42 times as much methane. Methane's is rounded down: that dense, the equation has it too compressible.
GASES: dict[str, Gas] = {
    gas.name: gas
    for gas in (
        Gas("helium", 4.002602e-3, 1.0, "IUPAC CIAAW, standard atomic weights 2021"),
        Gas("hydrogen", 2.016e-3, 0.97, "IUPAC CIAAW, abridged standard atomic weights 2021"),
        Gas("methane", 16.043e-3, 1.3, "IUPAC CIAAW, abridged standard atomic weights 2021"),
    )
}

# By maker and source. Sizes that the calculator says are "fudged a little" (Hwoyee's 2,000 and 3,000 g) are not here.
_LATEX: tuple[tuple[str, str, tuple[tuple[int, float, float], ...]], ...] = (
    ("Kaymont/Totex", _TOTEX, (
        (50, 0.88, 0.25), (100, 1.96, 0.25), (150, 2.52, 0.25), (1600, 9.71, 0.25), (1800, 9.98, 0.25),
        (4000, 15.06, 0.25),
    )),
    ("Kaymont/Totex", _RISES, (
        (200, 3.00, 0.25), (300, 3.78, 0.25), (350, 4.12, 0.25), (600, 6.02, 0.30), (800, 7.00, 0.30),
        (1000, 7.86, 0.30), (1200, 8.63, 0.25), (1500, 9.44, 0.25), (2000, 10.54, 0.25), (3000, 13.00, 0.25),
    )),
    ("Kaymont/Totex", _DISCONTINUED, ((450, 4.72, 0.25), (500, 4.99, 0.25), (700, 6.53, 0.30))),
    ("Hwoyee", _OLDER_HWOYEE, ((100, 2.00, 0.25),)),
    ("Hwoyee", _HWOYEE, (
        (200, 2.97, 0.25), (300, 4.30, 0.25), (350, 4.80, 0.25), (500, 5.80, 0.25), (600, 6.50, 0.30),
        (750, 6.90, 0.30), (800, 7.00, 0.30), (1000, 8.00, 0.30), (1200, 9.10, 0.25), (1600, 10.00, 0.25),
    )),
    ("Pawan", _PAWAN, (
        (100, 1.6, 0.25), (350, 4.0, 0.25), (600, 5.8, 0.30), (800, 6.6, 0.30), (900, 7.0, 0.30), (1200, 8.0, 0.25),
        (1600, 9.5, 0.25), (2000, 10.2, 0.25),
    )),
)  # fmt: skip


def _latex_envelopes() -> list[Envelope]:
    """All of them, by maker and mass."""
    found = [_latex(maker, source, size) for maker, source, sizes in _LATEX for size in sizes]
    makers = list(dict.fromkeys(maker for maker, _, _ in _LATEX))
    return sorted(found, key=lambda envelope: (makers.index(envelope.maker), envelope.mass))


# Calibrated, and not checked by any flight: at 10 % free lift it gives the large balloons the 1,000 ft/min that NASA
# flies them at (Tech Briefs, 2015).
POLYETHYLENE_DRAG = 0.8
_ESTIMATED = "mass estimated from the film, so that its float altitude is good to some 7 %"

ENVELOPES: dict[str, Envelope] = {
    envelope.name: envelope
    for envelope in (
        *_latex_envelopes(),
        Envelope(
            "jaxa-b80", "zero-pressure", "JAXA", film_mass(80_000.0, 2.8e-6), 80_000.0, POLYETHYLENE_DRAG,
            f"80,000 m^3 of 2.8 um film: StratoCat, flight BS13-08 of 2013-09-20; {_ESTIMATED}",
        ),
        Envelope(
            "jaxa-bu60", "zero-pressure", "JAXA", film_mass(60_000.0, 3.4e-6), 60_000.0, POLYETHYLENE_DRAG,
            f"60,000 m^3 of 3.4 um film: ISAS news of 2002-08-06; {_ESTIMATED}",
        ),
        Envelope(
            "raven-40mcf", "zero-pressure", "Raven", film_mass(1_120_498.0, 20.3e-6), 1_120_498.0, POLYETHYLENE_DRAG,
            f"39.57 million cubic feet of 0.8 mil film: StratoCat, flight 568NT of 2007-05-09 (which floated at "
            f"36.8 km); {_ESTIMATED}",
        ),
        Envelope(
            "nasa-spb-19mcf", "super-pressure", "Raven", 2570.0, 532_379.0, POLYETHYLENE_DRAG,
            "532,379 m^3, float at 33.5 km: NASA, super pressure balloon by the numbers, 2016-04-04; mass: what lets "
            "it float there with the 2.5 short tons of its 2015 flight (Plastics News, 2015-04-28) at 10 % free lift, "
            "which no other flight has checked; pressure: the 0.0261 psi by which it varies between day and night "
            "(EUSO-SPB, FAQ), flown and not a burst",
            pressure_limit=180.0,
        ),
    )
}  # fmt: skip

CYLINDERS: dict[str, Cylinder] = {
    cylinder.name: cylinder
    for cylinder in (
        Cylinder("0.6", 0.6, "Supagas, balloon gas fact sheet"),
        Cylinder("1.2", 1.2, "Supagas, balloon gas fact sheet"),
        Cylinder("3.5", 3.5, "Supagas, balloon gas fact sheet"),
        Cylinder("AL", 3.79, "Scott Specialty Gases: 134 cubic feet of helium in 29.5 l at 2000 psi"),
        Cylinder("K", 6.23, "220 cubic feet: alanfletcher.org, 'You do the math'"),
        Cylinder("50l", 9.1, "50 l at 200 bar with helium's factor 0.91: Revival, medical and industrial gases"),
    )
}
