"""How well do a few packs stand for a site? Samples of a whole forecast, their losses held against those of all packs.

Run as `fadecast run configs/nevada.yaml` and then `python experiments/representatives/study.py results/nevada`. With
`--few results/nevada_tail` a forecast of representatives alone is held against it too, in the draws that both have.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.population.representatives import choose_representatives
from fadecast.runs import RunFolder
from fadecast.study import load_study
from fadecast.warranty.claims import settle

OUT = Path(__file__).parents[2] / "results" / "reported" / "representatives"
COUNTS, SAMPLES = (1, 3, 6, 13, 26, 100), 400


def main() -> None:
    """Settle the contract on all packs, and on samples of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="run folder of a study of one site with all its packs")
    parser.add_argument("--few", type=Path, help="run folder of the same study with representatives")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.folder)
    study, fade = load_study(folder.study_file), folder.open_dataset("fade.nc")
    warranty = study.warranty
    claims = settle(fade, warranty.contract, warranty.premium.discount_rate, study.pack_energy_kwh)
    soh = fade["soh"].isel(time=0).to_numpy()
    loss, energy = np.nan_to_num(claims.loss), np.nan_to_num(claims.base_energy)
    rows = [compared(loss, energy, soh, count, how) for count in COUNTS for how in ("by SOH", "at random")]
    table = pd.DataFrame(rows)
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "representatives.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="%.3g"))
    whole = loss.sum(axis=1) / energy.sum(axis=1)
    spread = whole.std(ddof=1)
    print(f"all packs: loss {whole.mean():.4f} USD/kWh, standard deviation over {len(whole)} draws {spread:.4f}")
    if arguments.few:
        print_same_draws(folder, RunFolder(arguments.few))


def print_same_draws(folder: RunFolder, few: RunFolder) -> None:
    """Compare a forecast of representatives with that of all packs, in the draws of both."""
    whole, some = (each.open_dataset("fade.nc") for each in (folder, few))
    draws = min(whole.sizes["draw"], some.sizes["draw"])
    number = few.read_dataset("population.nc")["pack_number"].to_numpy()[:draws, :, None]
    same = np.take_along_axis(whole["soh"].to_numpy()[:draws], number, axis=1)
    apart = 100.0 * np.abs(same - some["soh"].to_numpy()[:draws]).max()
    losses = []
    for each in (folder, few):
        priced = each.read_dataset("price.nc").isel(draw=slice(draws))
        losses.append((priced["loss"].sum("pack") / priced["base_energy"].sum("pack")).to_numpy())
    noise = np.sqrt(np.mean((losses[1] - losses[0]) ** 2)) / losses[0].std(ddof=1)
    unserved = [fade["site_unserved"].to_numpy()[:draws, :, -1] for fade in (some, whole)]
    ratio = unserved[0] / unserved[1]
    print(
        f"the same {draws} draws: SOH of the same packs {apart:.4f} points apart, noise of a draw over spread "
        f"{noise:.3f}, unserved load {ratio.min():.3f} to {ratio.max():.3f} of that of the whole site"
    )


def compared(loss: np.ndarray, energy: np.ndarray, soh: np.ndarray, count: int, how: str) -> dict[str, object]:
    """Compare the loss per base energy of each draw by samples with that of all its packs."""
    whole = loss.sum(axis=1) / energy.sum(axis=1)
    found = []
    for seed in range(SAMPLES):
        key = soh if how == "by SOH" else np.random.default_rng(seed).random(soh.shape)
        chosen = choose_representatives(seed, key, 1, count)
        some = (np.take_along_axis(values, chosen, axis=1).sum(axis=1) for values in (loss, energy))
        found.append(np.divide(*some))
    off = np.array(found) - whole
    spread = whole.std(ddof=1)
    return {
        "representatives": count,
        "chosen": how,
        "bias_percent_of_loss": 100.0 * off.mean() / whole.mean(),
        "error_of_bias": 100.0 * off.mean(axis=1).std() / np.sqrt(SAMPLES) / whole.mean(),
        "noise_of_a_draw_over_spread_of_draws": np.sqrt((off**2).mean()) / spread,
        "spread_of_draws_over_that_of_all": np.mean([each.std(ddof=1) for each in found]) / spread,
    }


if __name__ == "__main__":
    main()
