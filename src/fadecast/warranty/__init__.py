"""From fade to a warranty price: contract, claims, premium."""

from fadecast.warranty.attachment import attachments
from fadecast.warranty.contract import Conditions, Contract, Unserved
from fadecast.warranty.inspection import Failures, Termination, Test
from fadecast.warranty.layers import Layer, Reinsurer
from fadecast.warranty.premium import Capital, Premium, Warranty
from fadecast.warranty.pricing import price
from fadecast.warranty.principles import Loadings
from fadecast.warranty.remedies import CashRemedy, RepairRemedy, ReplacementRemedy
from fadecast.warranty.sensitivity import sensitivities
from fadecast.warranty.summary import exceedance, full_table, price_table, summary_line

__all__ = [
    "Capital",
    "CashRemedy",
    "Conditions",
    "Contract",
    "Failures",
    "Layer",
    "Loadings",
    "Premium",
    "Reinsurer",
    "RepairRemedy",
    "ReplacementRemedy",
    "Termination",
    "Test",
    "Unserved",
    "Warranty",
    "attachments",
    "exceedance",
    "full_table",
    "price",
    "price_table",
    "sensitivities",
    "summary_line",
]
