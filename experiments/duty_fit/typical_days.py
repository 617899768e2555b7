"""Print how far typical days are from the year that they stand for: python experiments/duty_fit/typical_days.py."""

from fadecast.decades.representation import representation
from fadecast.decades.typical_days import choose_typical_days
from fadecast.decades.years import year_of_duty
from fadecast.duty import Duty, Site, make_duty

COUNTS = (4, 6, 12, 24, 48)
SPIN_UP_HOURS = 4


def main() -> None:
    """Print distances of distributions and errors of means, of one drawn year at 15 min, by service."""
    for service in ("site", "regulation", "cycling"):
        year = year_of_duty(make_duty(Site(), Duty(service=service), 1, 64, 1).isel(draw=0))
        for count in COUNTS:
            typical = choose_typical_days(year, count, SPIN_UP_HOURS * 4)
            apart = representation(year, typical).distance
            words = [f"{name} {distance:.2g}" for name, distance in apart.items()]
            words += [f"{name} {100.0 * error:+.1f} %" for name, error in typical.error.items()]
            print(f"{service:10s} {count:2d} days: {', '.join(words)}")


if __name__ == "__main__":
    main()
