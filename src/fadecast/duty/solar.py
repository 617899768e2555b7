"""Photovoltaic power from irradiance by pvlib: transposition, cell temperature, PVWatts."""

from typing import Annotated, Literal

import numpy as np
import pvlib
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float

from fadecast.duty.sun import Sky
from fadecast.duty.weather import Weather
from fadecast.settings import settings


@settings
class Solar:
    """The photovoltaic field."""

    kw_per_pack: Annotated[float, Ge(0)] = 30.0
    """Module power at standard conditions per pack [kW]. The reference site's field is not known to us; this
    size serves 98 % of the default load at Reno, and all of it from April to September
    (`experiments/duty_fit`)."""
    mount: Literal["fixed", "single_axis"] = "fixed"
    """Fixed tilt, which serves more of the winter load, or horizontal north-south tracker."""
    tilt: Annotated[float, Ge(0), Le(90)] = 40.0
    """Tilt of a fixed mount [degree]; about the latitude of Reno."""
    azimuth: Annotated[float, Ge(0), Lt(360)] = 180.0
    """Azimuth a fixed mount faces, from north eastward [degree]."""
    ground_cover: Annotated[float, Gt(0), Lt(1)] = 0.35
    """Module area over ground area, for backtracking [1] (assumed, usual for trackers)."""
    dc_ac_ratio: Annotated[float, Gt(0)] = 1.2
    """Module power over inverter power [1] (default of PVWatts version 5, NREL/TP-6A20-62641)."""
    loss: Annotated[float, Ge(0), Lt(1)] = 0.14
    """Soiling, wiring, mismatch and such [1] (default of PVWatts version 5)."""
    temperature_coefficient: Annotated[float, Ge(-0.02), Le(0)] = -0.0035
    """Change of module power with temperature [1/K] (PVWatts version 5, premium module)."""
    inverter_efficiency: Annotated[float, Gt(0), Le(1)] = 0.96
    """Nominal inverter efficiency [1] (default of PVWatts version 5)."""
    albedo: Annotated[float, Ge(0), Le(1)] = 0.2
    """Ground reflectance [1]."""


def solar_power(solar: Solar, sky: Sky, weather: Weather) -> Float[np.ndarray, "step"]:
    """Return the power at the bus per kW of modules [1].

    Beam and diffuse by Erbs et al. (1982, doi:10.1016/0038-092X(82)90302-4), cell temperature by Faiman
    (2008, doi:10.1002/pip.813), PVWatts module and inverter. At Reno, Erbs against the beam of the TMY3 moves
    the yearly irradiation of the default plane by -0.6 % and that of a tracker by -2.3 %.
    """
    split = pvlib.irradiance.erbs(weather.irradiance, sky.zenith, sky.day + 1)
    absorbed, total = plane_irradiance(solar, sky, weather.irradiance, split["dni"], split["dhi"])
    cell = pvlib.temperature.faiman(total, weather.temperature, weather.wind_speed)
    direct_current = pvlib.pvsystem.pvwatts_dc(absorbed, cell, 1.0, solar.temperature_coefficient) * (1 - solar.loss)
    inverter_input = 1 / (solar.dc_ac_ratio * solar.inverter_efficiency)
    power = pvlib.inverter.pvwatts(np.maximum(direct_current, 0.0), inverter_input, solar.inverter_efficiency)
    return np.where(sky.zenith < 90, np.nan_to_num(power), 0.0)


def plane_irradiance(
    solar: Solar,
    sky: Sky,
    horizontal: Float[np.ndarray, "step"],
    beam: Float[np.ndarray, "step"],
    diffuse: Float[np.ndarray, "step"],
) -> tuple[Float[np.ndarray, "step"], Float[np.ndarray, "step"]]:
    """Return irradiance of the module plane after and before reflection at the glass [W/m2].

    Transposition by Hay and Davies (1980), reflection of the beam by the physical model of pvlib.
    """
    tilt, azimuth = _orientation(solar, sky)
    plane = pvlib.irradiance.get_total_irradiance(
        tilt,
        azimuth,
        sky.apparent_zenith,
        sky.azimuth,
        beam,
        horizontal,
        diffuse,
        dni_extra=sky.extraterrestrial,
        albedo=solar.albedo,
        model="haydavies",
    )
    incidence = pvlib.irradiance.aoi(tilt, azimuth, sky.apparent_zenith, sky.azimuth)
    return plane["poa_direct"] * pvlib.iam.physical(incidence) + plane["poa_diffuse"], plane["poa_global"]


def _orientation(solar: Solar, sky: Sky) -> tuple[np.ndarray, np.ndarray]:
    """Return tilt and azimuth of the module plane [degree]; a tracker lies flat at night."""
    if solar.mount == "fixed":
        return np.full_like(sky.zenith, solar.tilt), np.full_like(sky.zenith, solar.azimuth)
    plane = pvlib.tracking.singleaxis(sky.apparent_zenith, sky.azimuth, max_angle=60, gcr=solar.ground_cover)
    return np.nan_to_num(plane["surface_tilt"]), np.nan_to_num(plane["surface_azimuth"], nan=180.0)
