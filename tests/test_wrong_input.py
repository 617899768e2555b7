"""Wrong input of every kind: exit code 2, one message with file, key, value and what is allowed, nothing written."""

import numpy as np
import pytest
import xarray as xr

from fadecast.cli import main
from fadecast.files import write_netcdf

GOOD = "name: a\npacks: 4\ndraws: 2\nyears: 10\n"
SEI = "SEI kinetic rate constant [m.s-1]"
RATE = f"{{name: '{SEI}', value: 1e-12, units: m.s-1, log_sd: 0.5}}"


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command, checks that it is refused cleanly, and gives the message."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert ended.value.code == 2
        assert out == ""
        assert "Traceback" not in err
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return err

    return run


VALUES = {
    # unknown keys, with the key that was meant
    "unknown key": ("packz: 3", "packz: unknown key with value 3; did you mean 'packs'?"),
    "unknown key one level down": ("site: {climat: reno}", 'site.climat: unknown key with value "reno"'),
    "unknown key three levels down": (
        "duty: {workload: {training: {slotz: 3}}}",
        "duty.workload.training.slotz: unknown key with value 3; did you mean 'slots'?",
    ),
    "unknown key in a list": (
        "population: {classes: [{name: lmo_10ah, weigth: 1}]}",
        "population.classes.0.weigth: unknown key with value 1; did you mean 'weight'?",
    ),
    "unknown key unlike any": (
        "cell: {zzz: 1}",
        "cell.zzz: unknown key with value 1; must be one of chemistry,",
    ),
    "key in unicode": ("größe: 3", "größe: unknown key with value 3; must be one of name, seed"),
    "key in another case": ("Seed: 3", "Seed: unknown key with value 3; did you mean 'seed'?"),
    "section of another section": ("duty: {contract: {}}", "duty.contract: unknown key with value {}"),
    "more representatives than packs": (
        "population: {representatives: 5}",
        "population.representatives: got 5; must be at most 4, the packs of a site, or null",
    ),
    # wrong types
    "text for a number": ("packs: many", 'packs: got "many"; must be a valid integer'),
    "quoted number": ("packs: '4'", 'packs: got "4"; must be a valid integer (without quotes)'),
    "real number of packs": ("packs: 4.5", "packs: got 4.5; must be a valid integer"),
    "yes for a number": ("draws: yes", "draws: got true; must be a valid integer"),
    "list for a number": ("years: [10]", "years: got [10]; must be a valid number"),
    "nothing for a number": ("years:", "years: got nothing; must be a valid number"),
    "number for a section": ("site: 3", "site: got 3; must hold keys among climate"),
    "nothing for a section": ("duty:", "duty: got nothing; must hold keys among timestep_minutes, service, workload"),
    "text for a section that may be left out": (
        "duty: {workload: {trace: abc.csv}}",
        'duty.workload.trace: got "abc.csv"; must hold keys among file, rated, power, time, utc_offset',
    ),
    "unknown key of a section that may be left out": (
        "duty: {workload: {trace: {file: a.csv, rated: 1.0, clock: 3}}}",
        "duty.workload.trace.clock: unknown key with value 3",
    ),
    "section for a number": ("packs: {a: 1}", 'packs: got {"a": 1}; must be a valid integer'),
    "number for text": ("site: {climate: 3}", "site.climate: got 3; must be a valid string"),
    "number for a list": ("population: {classes: 3}", "population.classes: got 3; must be"),
    "too few in a pair": (
        "population: {soh_range: [0.6]}",
        "population.soh_range.1: is missing; must be given",
    ),
    "too many in a pair": (
        "population: {soh_range: [0.6, 0.7, 0.8]}",
        "soh_range: got [0.6, 0.7, 0.8]; must",
    ),
    # out of range
    "negative packs": ("packs: -4", "packs: got -4; must be greater than or equal to 1"),
    "no draws": ("draws: 0", "draws: got 0; must be greater than or equal to 1"),
    "far too many packs": (
        "packs: 10000000000000",
        "packs: got 10000000000000; must be less than or equal to",
    ),
    "number beyond 64 bits": ("seed: 9999999999999999999999", "seed: got 9999999999999999999999; must be"),
    "negative seed": ("seed: -1", "seed: got -1; must be greater than or equal to 0"),
    "no years": ("years: 0", "years: got 0; must be greater than 0"),
    "not a number": ("years: .nan", "years: got NaN; must be a finite number"),
    "infinite": ("years: .inf", "years: got Infinity; must be a finite number"),
    "too large to be finite": ("years: 1e400", "years: got Infinity; must be a finite number"),
    "small tile": ("execution: {tile: 8}", "execution.tile: got 8; must be greater than or equal to 16"),
    "odd time step": ("duty: {timestep_minutes: 7}", "duty.timestep_minutes: got 7; must be 1, 5, 15, 30 or 60"),
    "too many typical days": ("decades: {typical_days: 365}", "decades.typical_days: got 365; must be less than or"),
    "unknown mode": ("decades: {mode: jump}", "decades.mode: got \"jump\"; must be 'leap' or 'direct'"),
    "share above 1": ("duty: {workload: {training_share: 1.5}}", "duty.workload.training_share: got 1.5; must be less"),
    "guarantee in percent": (
        "warranty: {contract: {guarantee: [[10, 70]]}}",
        "guarantee.0.1: got 70; must be less",
    ),
    "unknown remedy": (
        "warranty: {contract: {remedy: {kind: hope}}}",
        "remedy.kind: got \"hope\"; must be 'cash' or 'repair' or 'replacement'",
    ),
    "name with a path": ("name: ../a", "name: got \"../a\"; must be letters, digits, '_' and '-'"),
    "name in unicode": ("name: né", "name: got \"né\"; must be letters, digits, '_' and '-'"),
    "empty name": ("name: ''", "name: got \"\"; must be letters, digits, '_' and '-'"),
    # what does not exist
    "unknown place": (
        "site: {climate: atlantis}",
        'site.climate: got "atlantis"; must be elko, las_vegas, nevada, reno or',
    ),
    "climate file that is not there": ("site: {climate: here.json}", "here.json holds no climate"),
    "unknown cells": ("population: {classes: [{name: nmc}]}", "population: classes names ['nmc']; those with enough"),
    "unknown parameter": (
        "cell: {chemistry: {parameters: {SEI thickness: 1}}}",
        "cell.chemistry.parameters.SEI thickness: 'SEI thickness' is not a number of OKane2022",
    ),
    "parameter that is a function": (
        "cell: {chemistry: {parameters: {'Negative electrode OCP [V]': 1}}}",
        "'Negative electrode OCP [V]' is not a number of",
    ),
    "option value for one electrode": (
        "cell: {chemistry: {particle_mechanics: [none, breaking]}}",
        "cell.chemistry.particle_mechanics.1: got \"breaking\"; must be 'none', 'swelling only' or 'swelling and",
    ),
    "option value for both electrodes": (
        "cell: {chemistry: {particle_mechanics: breaking}}",
        "cell.chemistry.particle_mechanics: got \"breaking\"; must be 'none', 'swelling only' or 'swelling and",
    ),
    "switch without quotes": (
        "cell: {chemistry: {sei_on_cracks: true}}",
        "cell.chemistry.sei_on_cracks: got true; must be 'false' or 'true' (in quotes)",
    ),
    # contradictions
    "options that PyBaMM refuses": (
        "cell: {chemistry: {particle_mechanics: none}}",
        "cell.chemistry: PyBaMM refuses this combination of options: cannot have stress-induced diffusion without",
    ),
    "options that do not conserve lithium": (
        "cell: {chemistry: {surface_form: differential}}",
        "cell.chemistry: surface_form is differential: what charges the double layer is taken from or given to",
    ),
    "term longer than the forecast": (
        "warranty: {contract: {term_years: 12}}",
        "warranty.contract.term_years: got 12; must be at most years (10)",
    ),
    "part of a day in direct mode": (
        "decades: {mode: direct, output_interval_days: 91.25}",
        "decades.output_interval_days: got 91.25 days; must be whole days where decades.mode is direct",
    ),
    "spin-up of part of a step": (
        "duty: {timestep_minutes: 60}\ndecades: {spin_up_hours: 2.5}",
        "decades.spin_up_hours: got 2.5; must be whole steps of duty.timestep_minutes (60 min)",
    ),
    "load step of part of a step of the duty": (
        "duty: {timestep_minutes: 60}\ndecades: {load_step_minutes: 15}",
        "decades.load_step_minutes: got 15; must be whole steps of duty.timestep_minutes (60 min), or null",
    ),
    "spin-up of part of a load step": (
        "duty: {timestep_minutes: 5}\ndecades: {load_step_minutes: 60, spin_up_hours: 2.5}",
        "decades.spin_up_hours: got 2.5; must be whole steps of decades.load_step_minutes (60 min)",
    ),
    "load step that is none of those": (
        "decades: {load_step_minutes: 45}",
        "decades.load_step_minutes: got 45; must be 1, 5, 15, 30 or 60",
    ),
    "parameter fixed and varied": (
        f"cell: {{chemistry: {{parameters: {{'{SEI}': 1e-12}}}}}}\npopulation: {{rates: [{RATE}]}}",
        f"population.rates.0.name: {SEI!r} is set by cell.chemistry.parameters.{SEI} already;",
    ),
    "parameter that the duty sets": (
        "cell: {chemistry: {parameters: {'Ambient temperature [K]': 300}}}",
        "'Ambient temperature [K]' is set by the duty already; must be set in one place only",
    ),
    "range the wrong way round": (
        "population: {soh_range: [0.8, 0.6]}",
        "population: soh_range is 0.8 to 0.6; ",
    ),
    "band without measured cells": (
        "population: {soh_range: [0.5, 0.51]}",
        "population.soh_range: got [0.5, 0.51]; ",
    ),
    "rates that are nowhere": (
        "population: {rate_posterior: nowhere.nc}",
        "nowhere.nc; must be lgm50, lfp, the path of such a file, or null",
    ),
    "rates of another make": (
        "population: {rate_posterior: lfp}",
        "population.rate_posterior: lfp holds no draws of the law solvent of the OKane2022 of cell.chemistry; "
        "must be one that does, or null",
    ),
    "rates of cells without plating": (
        "population: {rate_posterior: lfp}\ncell: {chemistry: {parameter_set: Prada2013, nameplate_voltage: 3.2}}",
        'population.rate_posterior: got "lfp"; packs draw rates fitted to OKane2022, ',
    ),
    "rates of another law": (
        "cell: {chemistry: {sei: reaction limited}}",
        'population.rate_posterior: got "lgm50"; packs draw rates fitted to OKane2022, sei solvent-diffusion limited, '
        "loss_of_active_material ['stress-driven', 'stress-driven']; ",
    ),
    "rates of a law that did not ship": (
        "cell: {chemistry: {loss_of_active_material: [stress and reaction-driven, stress-driven]}}",
        "population.rate_posterior: lgm50 holds no draws of the law coupled of the OKane2022 of cell.chemistry",
    ),
    "rate that the posterior sets": (
        "population: {rates: [{name: 'SEI solvent diffusivity [m2.s-1]', value: 1e-21, units: m2.s-1, log_sd: 0.5}]}",
        "population.rates.0.name: 'SEI solvent diffusivity [m2.s-1]' is set by population.rate_posterior already;",
    ),
    "a kWh of packs that do not feel each other": (
        "economics: {years: 1}",
        "economics: needs one site whose packs feel each other; got fleet.sharing fixed and fleet.sites 1;",
    ),
    "a term of costs beyond the forecast": (
        "fleet: {sharing: equal}\neconomics: {years: 30}",
        "economics.years: got 30; must be at most years (10)",
    ),
    "demand response of a site that no grid reaches": (
        "fleet: {sharing: equal}\neconomics: {demand_response: {kw_per_pack: 5.0}}",
        "economics.demand_response.kw_per_pack: got 5 where no grid reaches the site; set duty.grid.export_kw_per_pack",
    ),
    "demand response of packs that serve a grid already": (
        "fleet: {sharing: equal}\nduty: {service: regulation, grid: {export_kw_per_pack: 5.0}}\n"
        "economics: {demand_response: {kw_per_pack: 5.0}}",
        "economics.demand_response.kw_per_pack: got 5 where no grid reaches the site;",
    ),
    "rising guarantee": (
        "warranty: {contract: {guarantee: [[1, 0.7], [2, 0.8]]}}",
        "guarantee point (2, 0.8)",
    ),
    "derating out of order": (
        "cell: {limits: {charge_derating: [[10, 1], [0, 0]]}}",
        "cell.limits: charge_derating point at 0 degC follows one at 10 degC; temperatures must rise",
    ),
    "derating above one": (
        "cell: {limits: {discharge_derating: [[0, 0], [10, 1.5]]}}",
        "cell.limits.discharge_derating.1.1: got 1.5; must be less than or equal to 1",
    ),
    "derating without a fraction": (
        "cell: {limits: {charge_derating: [[0]]}}",
        "cell.limits.charge_derating.0.1: is missing; must be given",
    ),
    "derating that is no list": ("cell: {limits: {charge_derating: 3}}", "cell.limits.charge_derating: got 3; must"),
    "salt from high to low": ("cell: {limits: {salt: [4000, 100]}}", "cell.limits: salt [4000.0, 100.0] must be"),
    "empty charge window": ("cell: {limits: {soc_min: 0.9, soc_max: 0.2}}", "cell.limits: soc_min 0.9 must be below"),
    "one draw and a capital load": ("draws: 1", "draws: got 1; must be at least 2"),
    # chemistries that can be evaluated, and not followed over years
    "pores that an SPM has not": (
        "cell: {chemistry: {sei_porosity_change: 'true'}}",
        "cell.chemistry.sei_porosity_change: got true; must be false in a forecast by an SPM, which has no pores",
    ),
    "side reactions along an electrode": (
        "cell: {chemistry: {model: SPMe, x_average_side_reactions: 'false'}}",
        "cell.chemistry.x_average_side_reactions: got false; must be true in a forecast",
    ),
    "plating that a slow state would lose": (
        "cell: {chemistry: {lithium_plating: irreversible}}",
        "cell.chemistry.lithium_plating: got irreversible; must be partially reversible in a forecast",
    ),
    "no SEI": ("cell: {chemistry: {sei: none}}", "cell.chemistry.sei: got none; must be a law of growth in a forecast"),
    "no loss of one electrode": (
        "cell: {chemistry: {loss_of_active_material: [stress-driven, none]}}",
        "cell.chemistry.loss_of_active_material: got [stress-driven, none]; must be a law for both electrodes",
    ),
    "no cracks": (
        "cell: {chemistry: {particle_mechanics: swelling only}}",
        "cell.chemistry.particle_mechanics: got swelling only; must be [swelling and cracking, swelling only] or",
    ),
    "one temperature for all packs": (
        "cell: {chemistry: {thermal: isothermal}}",
        "cell.chemistry.thermal: got isothermal; must be lumped in a forecast",
    ),
    "surface states": (
        "cell: {chemistry: {surface_form: algebraic}}",
        "cell.chemistry.surface_form: got algebraic; must be false in a forecast",
    ),
    "set of a composite electrode": (
        "cell: {chemistry: {parameter_set: Chen2020_composite}}",
        "cell.chemistry.parameter_set: got Chen2020_composite; must be one of single particles",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_wrong_value(refused, tmp_path, case):
    wrong, message = VALUES[case]
    lines = [line for line in GOOD.splitlines() if line.split(":")[0] != wrong.split(":")[0]]
    (tmp_path / "s.yaml").write_text("\n".join([*lines, wrong]), encoding="utf-8")
    error = refused("run", "s.yaml")
    assert error.startswith("error: s.yaml: ")
    assert message in error
    assert len(error.splitlines()) == 1


FILES = {
    "empty": (b"", "s.yaml: the file is empty; must hold the keys of a study"),
    "comments only": (b"# nothing\n", "s.yaml: the file is empty"),
    "list": (b"- name: a\n", 's.yaml: holds [{"name": "a"}] at the top; must hold keys'),
    "text": (b"packs", 's.yaml: holds "packs" at the top; must hold keys'),
    "open bracket": (b"name: a\npacks: [1, 2\n", "s.yaml, line 3, column 1: not valid YAML: expected ',' or ']'"),
    "tabs": (b"duty:\n\ttimestep_minutes: 60\n", "s.yaml, line 2, column 1: not valid YAML: found character"),
    "key twice": (
        b"name: a\npacks: 4\npacks: 5\n",
        "line 3, column 1: not valid YAML: key 'packs' stands twice",
    ),
    "key twice, deeper": (
        b"site:\n  climate: a\n  climate: b\n",
        "s.yaml, line 3, column 3: not valid YAML: key",
    ),
    "key that is a number": (b"1: 2\n", "s.yaml, line 1, column 1: not valid YAML: key 1 is read as int, not as text"),
    "key that is yes": (b"yes: 2\n", "key true is read as bool, not as text; put it in quotes"),
    "key that is a list": (b"? [a]\n: 2\n", 'key ["a"] is read as list, not as text'),
    "two documents": (
        b"name: a\n---\nname: b\n",
        "line 2, column 1: not valid YAML: but found another document",
    ),
    "code": (b"name: !!python/object/apply:os.getcwd []\n", "not valid YAML: could not determine a constructor"),
    "date": (b"name: 2020-01-01\n", "s.yaml: must hold text, numbers, lists and keys only"),
    "too deep": (b"name: " + 5000 * b"[", "s.yaml, line 1, column 56: not valid YAML: nested in more than 50 lists"),
    "itself": (b"name: &a [*a]\n", "s.yaml: must hold text, numbers, lists and keys only"),
    "not UTF-8": ("name: é".encode("latin-1"), "s.yaml: byte 6 is not UTF-8; must be a study file in YAML, UTF-8"),
    "null character": (b"name: a\x00b\n", "s.yaml, character 7: not valid YAML: special characters are not allowed"),
    "binary": (bytes(range(128, 256)), "s.yaml: byte 0 is not UTF-8"),
    "keys missing": (b"name: a\npacks: 4\n", "draws: is missing; must be given"),
}


@pytest.mark.parametrize("case", FILES)
def test_wrong_file(refused, tmp_path, case):
    content, message = FILES[case]
    (tmp_path / "s.yaml").write_bytes(content)
    assert message in refused("run", "s.yaml")


def test_missing_file(refused):
    assert refused("run", "nowhere.yaml").startswith("error: nowhere.yaml: no such file; must be a study file in YAML")


def test_folder_for_a_file(refused, tmp_path):
    (tmp_path / "run").mkdir()
    assert "run: is a folder; must be a study file in YAML (a run folder goes on with: fadecast resume" in refused(
        "run", "run"
    )


OVERRIDES = {
    "no value": ("packs", "--set packs: must be key=value"),
    "no key": ("=3", "--set =3: must be key=value"),
    "unknown key": ("packz=3", "packz: unknown key with value 3; did you mean 'packs'? (--set packz=3)"),
    "unknown section": ("sight.climate=reno", 'sight: unknown key with value {"climate": "reno"}; did you mean'),
    "wrong value": ("draws=0", "draws: got 0; must be greater than or equal to 1 (--set draws=0)"),
    "text for a number": ("years=ten", 'years: got "ten"; must be a valid number (--set years=ten)'),
    "broken YAML": ("packs=[1", "--set packs=[1, line 1, column 3: not valid YAML"),
    "key of a number": ("packs.more=3", "--set packs.more=3: packs is 4 and has no key 'more'"),
    "index beyond a list": ("list.5=3", "--set list.5=3: list is [1, 2] and has no key '5'"),
    "contradiction": ("years=5", "warranty.contract.term_years: got 10; must be at most years (5)"),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_wrong_override(refused, tmp_path, case):
    override, message = OVERRIDES[case]
    (tmp_path / "s.yaml").write_text(GOOD + ("list: [1, 2]\n" if "list" in override else ""))
    error = refused("run", "s.yaml", "--set", override)
    assert error.startswith("error: s.yaml: ")
    assert message in error


def fade_of(name="retention", units="year", years=10.0):
    arrays = {key: (("draw", "pack", "time"), np.ones((2, 1, 3))) for key in (name, "soh")}
    return xr.Dataset(arrays, coords={"time": ("time", np.linspace(0.0, years, 3), {"units": units})})


FADES = {
    "missing": (None, "fade.nc: no such file; --fade must be a netCDF file"),
    "empty": (b"", "fade.nc: cannot be read as netCDF"),
    "text": (b"retention: 1\n" * 100, "fade.nc: cannot be read as netCDF"),
    "cut short": ("cut", "fade.nc: cannot be read as netCDF"),
    "without retention": (fade_of(name="capacity"), "fade.nc: fade has no variable 'retention', only capacity, soh"),
    "in days": (fade_of(units="day"), "fade.nc: time is float64 in units 'day', expected numbers in units 'year'"),
    "in percent": (100.0 * fade_of(), "fade.nc: 'retention' runs from 100 to 100, allowed is 0 to 1.5"),
    "too short": (fade_of(years=5.0), "fade.nc: the forecast ends after 5 years, the contract after 10"),
    "in words": (xr.full_like(fade_of(), "good", dtype="U4"), "fade.nc: 'retention' is <U4; must be numbers"),
}


@pytest.mark.parametrize("case", FADES)
def test_wrong_fade(refused, tmp_path, case):
    content, message = FADES[case]
    (tmp_path / "s.yaml").write_text("name: a\nwarranty: {premium: {capital: {cost_of_capital: 0}}}\n")
    if isinstance(content, bytes):
        (tmp_path / "fade.nc").write_bytes(content)
    elif content is not None:
        write_netcdf(tmp_path / "fade.nc", fade_of() if isinstance(content, str) else content)
    if isinstance(content, str):
        whole = (tmp_path / "fade.nc").read_bytes()
        (tmp_path / "fade.nc").write_bytes(whole[: len(whole) // 3])
    assert message in refused("price", "s.yaml", "--fade", "fade.nc", "--out", "out")


def test_price_without_a_forecast_needs_a_whole_study(refused, tmp_path):
    (tmp_path / "s.yaml").write_text("name: a\n")
    assert "packs: is missing; must be given" in refused("price", "s.yaml")


def test_out_that_is_a_file(refused, tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    (tmp_path / "out").write_text("mine")
    assert "error: out: cannot be a run folder (File exists); choose another" in refused(
        "duty", "s.yaml", "--out", "out"
    )
    assert "error: out/a: cannot be a run folder (Not a directory)" in refused("duty", "s.yaml", "--out", "out/a")


@pytest.mark.parametrize("name", ["resume", "status"])
def test_a_folder_that_is_no_run(refused, tmp_path, name):
    (tmp_path / "run").mkdir()
    assert "error: run: holds no study.yaml; must be the folder of a run" in refused(name, "run")
    assert "error: nowhere: holds no study.yaml" in refused(name, "nowhere")


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["run", "s.yaml", "--speed", "9"], ["schema", "s.yaml"]])
def test_wrong_command(refused, arguments):
    assert "Usage: fadecast" in refused(*arguments)
