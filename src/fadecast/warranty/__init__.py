"""From fade to a warranty price: contract, claims, premium."""

from fadecast.warranty.contract import CashRemedy, Contract
from fadecast.warranty.premium import Capital, Premium, Warranty, price
from fadecast.warranty.summary import exceedance, price_table, summary_line

__all__ = [
    "Capital",
    "CashRemedy",
    "Contract",
    "Premium",
    "Warranty",
    "exceedance",
    "price",
    "price_table",
    "summary_line",
]
