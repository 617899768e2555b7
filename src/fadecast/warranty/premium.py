"""How a contract is priced, as settings: expenses, discounting, principle, capital, reinsurance."""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt, MinLen

from fadecast.settings import settings
from fadecast.warranty.contract import Contract
from fadecast.warranty.layers import Layer, Reinsurer, check_layers
from fadecast.warranty.principles import Loadings, PrincipleName
from fadecast.warranty.remedies import Years

SUMMARY_LEVEL = 0.995
"""Probability level of the summary line; every price dataset has it."""

Probability = Annotated[float, Gt(0.0), Lt(1.0)]
Rate = Annotated[float, Ge(-0.1), Lt(1.0)]


@settings
class Capital:
    """The capital that backs the contract, and what it costs.

    Capital is what a bad portfolio loss takes beyond the expected one. It is released as claims are paid, in
    proportion to the expected claims still unpaid, so that it is tied up for their mean time of payment:
    load = cost of capital * (bad loss - expected loss) * duration.
    This is the risk margin of Solvency II (Delegated Regulation (EU) 2015/35, articles 37 and 58) in
    continuous time, with the whole loss to the end of the term as the risk instead of that of one year.
    """

    cost_of_capital: Annotated[float, Ge(0.0), Lt(1.0)] = 0.06
    """Return above the risk-free rate that capital asks for [1/year]; 0: no load. Default: article 39 of the
    regulation as first adopted (4.75 % since Regulation (EU) 2026/269)."""
    capital_level: Probability = 0.995
    """Probability level of the bad loss [1]; where the draws do not resolve it, the highest resolved level of
    `levels` below it stands in. Default: that of Solvency II."""
    risk_measure: Literal["tvar", "var"] = "tvar"
    """Bad loss: the mean beyond the quantile, or the quantile."""
    standard_deviation_factor: Annotated[float, Gt(0.0)] = 3.0
    """Capital in standard deviations over draws [1], where no level is resolved. Default, an assumption: the
    0.995 TVaR is 2.9 standard deviations above the mean for a normal loss, 5.3 for an exponential one."""


@settings
class Premium:
    """How a contract is priced: expenses, discounting, capital, and how the price is reported."""

    expense_ratio: Annotated[float, Ge(0.0), Lt(1.0)] = 0.25
    """Expenses in proportion to the gross premium: acquisition, administration, taxes [1]. Default: US
    property-casualty insurers, first half of 2023 (25.2 %, NAIC)."""
    fixed_expenses_usd_per_kwh: Annotated[float, Ge(0.0)] = 0.0
    """Expenses on top, such as inspections [USD per kWh of base energy]. Default: none beyond the ratio."""
    discount_rate: Annotated[float, Ge(0.0), Lt(1.0)] = 0.04
    """Risk-free rate, compounded yearly [1/year]; risk is loaded apart. Default: close to the yield of
    ten-year US Treasury notes in 2023 to 2025."""
    yield_curve: Annotated[tuple[tuple[Years, Rate], ...], MinLen(1)] | None = None
    """Points (year, rate) of risk-free rates by maturity, compounded yearly, in place of `discount_rate`: straight
    between points, constant before the first and after the last. Null: one rate."""
    principle: PrincipleName = "cost_of_capital"
    """What is asked for beyond the expected loss because it is not certain."""
    capital: Capital = Capital()
    """Capital and its cost."""
    loadings: Loadings = Loadings()
    """How much the other principles ask for."""
    reinsurance: tuple[Layer, ...] = ()
    """Layers that others take: quota shares first, then excess of loss, then stop loss. They are reported, and change
    no premium."""
    reinsurer: Reinsurer = Reinsurer()
    """What reinsurance would cost, for where it would best begin; changes no premium."""
    levels: Annotated[tuple[Probability, ...], MinLen(1)] = (0.90, 0.95, 0.99, 0.995)
    """Probability levels of the reported quantiles [1]; `capital_level` and 0.995 are always added."""
    defect_sampling: Probability | None = None
    """Probability that a batch is defective in the sample, where `contract.failures` has defects (importance sampling):
    draws are weighed back, and more of them tell of the tail that defects make [1]. Null: as the contract has it."""
    telemetry_error: Annotated[float, Gt(0.0), Lt(1.0)] = 0.005
    """Error that the mean capacity of a whole fleet is measured with each year, common to its packs [fraction of base
    energy]; for what years of telemetry will tell. Default, an assumption: that of a tester."""
    confidence: Probability = 0.90
    """Probability that a reported interval holds what infinitely many draws would give [1]."""
    max_failed_share: Annotated[float, Ge(0.0), Lt(1.0)] = 0.02
    """Share of packs that may be left out because their forecast failed before the end of the term [1]. They
    may be the worst packs, so that leaving out more is refused. Default, an assumption."""

    def __post_init__(self) -> None:
        """Refuse rates that run backwards in time, and layers that take more than there is."""
        years = [year for year, _ in self.yield_curve or ()]
        if sorted(set(years)) != years:
            raise ValueError(f"yield_curve has its points at years {years}; years must rise")
        check_layers(self.reinsurance)


def needs_spread(premium: Premium) -> bool:
    """Whether the load for risk comes from how draws differ, so that one draw cannot be priced."""
    if premium.principle == "cost_of_capital":
        return premium.capital.cost_of_capital > 0.0
    return premium.principle != "expected_value"


def levels_of(premium: Premium) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the probability levels that a price is worked out for, rising."""
    return np.array(sorted({*premium.levels, premium.capital.capital_level, SUMMARY_LEVEL}))


@settings
class Warranty:
    """The warranty section of a study: what is promised and how it is priced."""

    contract: Contract = Contract()
    """What is guaranteed."""
    premium: Premium = Premium()
    """How it is priced."""
