"""What each figure shows, and what it must not be read as."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """Words that go with a figure."""

    title: str
    seen: str
    """What is seen."""
    unsaid: str
    """What the figure does not say."""


CAPTIONS: Mapping[str, Caption] = {
    "fade_fan": Caption(
        "Capacity over time",
        "Capacity of the packs over their capacity at the start of second-life service. The bands hold 50 % and 90 % "
        "of all packs of all draws. Each thin line is the median pack of one draw: the spread of the lines is what is"
        " not known (rates, weather, load), the rest of the bands is how packs differ.",
        "Only the spread between packs evens out in a large portfolio; that between draws does not. An error of the "
        "model itself is in neither.",
    ),
    "end_of_term": Caption(
        "Capacity at the end of the term",
        "Above: the share of packs by what the contract measures at its end, for all draws together. Below: the packs"
        " of each draw as a strip, the draws ordered by their median.",
        "What lies left of the guarantee is owed at the last inspection, but earlier inspections count too; the price"
        " follows all of them.",
    ),
    "tail_event": Caption(
        "Probability of losing more than 20 % of capacity",
        "Share of packs that have at some time held less than 80 % of their capacity at the start of service. The "
        "point is the three-year probability of the price table with its Monte-Carlo interval.",
        "The range over draws is what is not known of the rates, the weather and the load. Sudden failures of a pack,"
        " its converter or its electronics are not forecast and not counted.",
    ),
    "loss_exceedance": Caption(
        "Exceedance curve of the portfolio loss",
        "Share of draws in which the discounted claims of all packs reach a given loss per base energy.",
        "Below the shaded limit too few draws lie beyond to name a quantile, and no quantile is named there. More "
        "packs do not help: packs of one draw are not independent.",
    ),
    "reserves": Caption(
        "Reserves, and the size of the fleet",
        "Left: claims that are still to be paid after each policy year, undiscounted, with the Monte-Carlo interval of "
        "their mean. Right: the premium of fleets of some sizes, and what no size brings it below.",
        "The load for risk is scaled to other sizes as the standard deviation. Claims are those of the packs that were "
        "simulated.",
    ),
    "survival": Caption(
        "Packs that have not yet fallen short",
        "Share of packs that kept what is guaranteed, less the deductible, at every inspection so far, by fade alone "
        "(Kaplan-Meier: a pack whose forecast failed counts as long as it is known). The band is the Monte-Carlo "
        "interval of the share over draws.",
        "How far a pack falls short and what that costs: errors of tests, sudden failures, a waiting period and the "
        "terms of use decide who is paid. The band is of the mean of all draws: one fleet may lie outside.",
    ),
    "typical_day": Caption(
        "A typical day of one cell",
        "Power, state of charge and temperature of the representative cell of one pack near the median, over the "
        "typical day that stands for most days of the year. Where demanded and delivered power part, a limit of "
        "voltage, current or charge cut the demand.",
        "The battery of this day is at the start of its service; an aged pack meets its limits sooner. Other typical "
        "days, among them the hottest, are part of the forecast but not shown.",
    ),
    "site_weeks": Caption(
        "Two weeks of the site",
        "What serves the load, stacked, and what takes power besides it, below zero; and the state of charge, in the "
        "coldest and the warmest week of the first draw's year.",
        "The dispatch counts on the same usable energy all year and does not know how the packs have faded; it is one"
        " drawn year out of many.",
    ),
    "load_statistics": Caption(
        "What the load is like",
        "Computing power over its mean: how high for what share of the year, one line a draw, 16 at most; its "
        "spectrum, a mean of these; how much it changes from one step to the next. Above right: power of a pack over "
        "its first-life nameplate energy, where it is not idle.",
        "Swings shorter than a step are averaged away, and with them the fastest changes that accelerators make.",
    ),
    "typical_days": Caption(
        "Typical days against their year",
        "Distributions of the first draw's year and of the typical days that stand for it, weighted: power, state of "
        "charge and temperature by time, depth of cycles (rainflow counting of the state of charge) by charge. Above "
        "each: the mean distance between the two.",
        "Days are run one by one: what one day leaves to the next, but for the hours of spin-up, is not in a forecast "
        "of typical days. The error in health is printed by the run (soh_error_pp).",
    ),
    "site_years": Caption(
        "The site as its packs fade",
        "Left: capacity of the packs that run over that of all packs at the start, and packs replaced. Right: load "
        "that dispatch could not serve, by year of service. Lines: medians of draws and sites; bands: 90 %.",
        "Weather and load are those of one drawn year, repeated. What a weak pack cannot deliver of its share is not "
        "in it: no other pack takes that over.",
    ),
    "degradation": Caption(
        "Where lithium and active material go",
        "Left: lithium that service has bound in the film on the negative electrode (SEI), as dead plated lithium, "
        "and in lost active material. Right: losses of lithium inventory and active material, first life included.",
        "Medians of parts do not add up to the median of the whole. The shares are those of the model's laws at the "
        "rates drawn; voltage curves of measured cells do not tell SEI from dead lithium.",
    ),
    "starting_states": Caption(
        "The packs at the start of service",
        "Left: resistance against state of health, by the class of measured retired cells that a pack's state of "
        "health and resistance are sampled from. Right: the losses of lithium and active material behind the state of"
        " health.",
        "The classes are of other chemistries and sizes than the cell that is modelled, and the split of the losses "
        "was measured on less degraded cells: both are extrapolations.",
    ),
    "shortfall_and_heat": Caption(
        "Energy not delivered, and temperature",
        "Left: energy that was asked of a pack and that its limits did not let it deliver. Right: mean and highest "
        "cell temperature.",
        "In the leap mode the highest temperature is that of the days that were simulated. The dispatch does not "
        "shift what a weak pack cannot deliver to a stronger one.",
    ),
}
"""Captions by the name of a figure's file, in the order of the report."""

STATE_CAPTIONS: Mapping[str, Caption] = {
    "state_fit": Caption(
        "Measured and fitted voltage",
        "Above: slow curves as measured (points) and as their most probable electrodes have them (lines), over the "
        "charge from the low end of the curve. Below: the difference, with one standard deviation of the smooth "
        "discrepancy as a band.",
        "A small difference does not say that the electrodes are right: other electrodes may fit as well; the notes say"
        " where that was found.",
    ),
    "state_derivative": Caption(
        "Differential voltage",
        "Slope of the same curves, measured and fitted. Peaks are phase changes of single electrodes: where they lie "
        "is what tells the electrodes apart.",
        "Slopes are shown, not fitted: what is fitted is voltage.",
    ),
    "state_losses": Caption(
        "Losses of lithium inventory and active material",
        "Mean and 90 % interval of the posterior, against the curve that each is compared with.",
        "The discrepancies of two curves are taken as independent; what half cells have wrong for both is not in the "
        "intervals.",
    ),
    "state_pairs": Caption(
        "What goes with what",
        "Draws of the posterior, by pairs, from the mean of each curve. A narrow slope says that the curve tells a "
        "combination of the two, and neither by itself.",
        "",
    ),
}
"""Captions of the figures of a calibration, in the order of its page."""

RATE_CAPTIONS: Mapping[str, Caption] = {
    "stored": Caption(
        "Capacity lost in storage",
        "Measured losses at check-ups (points) and those of the posterior of the heaviest law: median and 90 %, by "
        "temperature and state of charge.",
        "All of these were fitted. What is foretold of a condition that was left out is in the figure of the laws.",
    ),
    "cycled": Caption(
        "Losses of cycled cells",
        "Loss of capacity and of active material of both electrodes, measured (points) and by the same posterior.",
        "One protocol: of LG M50 six cells at three temperatures, of iron phosphate capacity alone, at one.",
    ),
    "laws": Caption(
        "What laws foretell",
        "Log predictive density of the capacity of each condition, per check-up, by draws that did not know it. The "
        "weights are those of the mixture that foretells all of them best.",
        "The form of the laws was chosen by people who had seen all conditions.",
    ),
    "told": Caption(
        "What is known that was not before",
        "Standard deviation of the posterior over that of the prior, of every quantity. At 1 the data said nothing.",
        "A quantity with a narrow prior may be well known at 1.",
    ),
}
"""Captions of a calibration of rates, as above."""
