import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from bpx_cell import bpx_text
from fadecast.calibrating import check_calibration
from fadecast.document import read_document
from fadecast.errors import InputError
from fadecast.population import Population, RatePrior
from fadecast.rate_calibrating import check_rate_calibration
from fadecast.score_run import check_scoring
from fadecast.study import Pricing, Study, check_pricing, load_study, plain_study, study_of, to_yaml

CONFIGS = Path(__file__).parents[1] / "configs"
SEI = "SEI kinetic rate constant [m.s-1]"


def small(**changes):
    return Study(**{"name": "small", "packs": 4, "draws": 2, "years": 10.0, **changes})


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_a_study_comes_back_from_yaml_and_from_json(write):
    rate = RatePrior(name=SEI, value=1.2345678901234567e-12, units="m.s-1", log_sd=0.5)
    study = small(population=Population(rate_posterior=None, rates=(rate,)), seed=2**62)
    assert load_study(write(to_yaml(study))) == study
    assert study_of(json.dumps(plain_study(study))) == study


def test_every_default_is_allowed(write):
    assert load_study(write("{name: small, packs: 4, draws: 2, years: 10}")) == small()


def test_every_shipped_study_is_valid():
    files = sorted(CONFIGS.glob("*.yaml"))
    assert {"demo.yaml", "warranty_linear.yaml"} <= {path.name for path in files}
    for path in files:
        kinds = {"calibrate": check_calibration, "score": check_scoring}
        document = read_document(path)
        check = kinds.get(path.stem.partition("_")[0], check_pricing)
        check = check_rate_calibration if "rates" in document.content else check
        assert check(document).name == path.stem


def test_a_price_alone_needs_name_and_warranty_only():
    pricing = check_pricing(read_document(CONFIGS / "warranty_linear.yaml"))
    assert type(pricing) is Pricing
    assert pricing.warranty.contract.remedy.usd_per_kwh == 100.0
    assert pricing.pack_energy_kwh == small().pack_energy_kwh


def test_nothing_can_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        small().packs = 5


def test_how_the_work_is_divided_is_no_part_of_a_study():
    assert "execution" not in plain_study(small())
    assert "execution" in to_yaml(small())


def test_an_integer_is_taken_for_a_real_number_but_not_the_other_way(write):
    assert load_study(write("{name: a, packs: 4, draws: 2, years: 10}")).years == 10.0
    with pytest.raises(InputError, match=r"packs: got 4.0; must be a valid integer"):
        load_study(write("{name: a, packs: 4.0, draws: 2, years: 10}"))


def test_scientific_notation_is_a_number(write):
    text = f"name: a\npacks: 4\ndraws: 2\nyears: 1e1\ncell: {{chemistry: {{parameters: {{'{SEI}': 1e-12}}}}}}"
    study = load_study(write(text))
    assert study.years == 10.0
    assert study.cell.chemistry.parameters[SEI] == 1e-12


def test_overrides_replace_and_add_values(write):
    path = write("{name: a, packs: 4, draws: 2, years: 10, population: {classes: [{name: lmo_10ah}]}}")
    overrides = [
        "packs=7",
        "duty.workload.training.slots=3",
        "population.classes.0.weight=2.5",
        "population.soh_range=[0.65, 0.75]",
        f"cell.chemistry.parameters.{SEI}=1e-12",
        "warranty.contract.limit_usd_per_kwh=null",
    ]
    study = load_study(path, overrides)
    assert study.packs == 7
    assert study.duty.workload.training.slots == 3
    assert study.population.classes[0].weight == 2.5
    assert study.population.soh_range == (0.65, 0.75)
    assert study.cell.chemistry.parameters == {SEI: 1e-12}
    assert study.warranty.contract.limit_usd_per_kwh is None


def test_the_last_override_of_a_key_counts(write):
    assert load_study(write("{name: a, packs: 4, draws: 2, years: 10}"), ["packs=5", "packs=6"]).packs == 6


def test_merge_keys_and_anchors_work_and_share_nothing(write):
    text = """
name: a
packs: 4
draws: 2
years: 10
population:
  crack_length: &prior {median: 2.0e-8, log_sd: 0.3, pack_log_sd: 0.1}
"""
    study = load_study(write(text), ["population.crack_length.log_sd=0.4"])
    assert study.population.crack_length.log_sd == 0.4
    merged = "base: &base {packs: 4, draws: 2}\n<<: *base\nname: a\nyears: 10\n"
    with pytest.raises(InputError, match="base: unknown key"):
        load_study(write(merged))


def test_a_climate_file_is_looked_for_beside_the_study(write, tmp_path):
    from fadecast.duty.climate import Climate

    Climate.load("reno").write(tmp_path / "here.json")
    path = write("{name: a, packs: 4, draws: 2, years: 10, site: {climate: here.json}}")
    assert load_study(path).site.climate == str(tmp_path / "here.json")
    # Opening a result does not ask for the file.
    content = json.dumps(plain_study(load_study(path)))
    (tmp_path / "here.json").unlink()
    assert study_of(content).site.climate == str(tmp_path / "here.json")


def bpx_study(bpx, rates="null"):
    return (
        f"{{name: a, packs: 4, draws: 2, years: 10, cell: {{chemistry: {{bpx: {bpx}, nameplate_voltage: 3.7}}}}, "
        f"population: {{rate_posterior: {rates}}}}}"
    )


def test_a_cell_is_read_from_a_bpx_file_beside_the_study(write, tmp_path):
    (tmp_path / "cell.json").write_text(bpx_text())
    path = write(bpx_study("cell.json"))
    assert load_study(path).cell.chemistry.source == str(tmp_path / "cell.json")
    # Opening a result does not ask for the file.
    content = json.dumps(plain_study(load_study(path)))
    (tmp_path / "cell.json").unlink()
    assert study_of(content).cell.chemistry.bpx == str(tmp_path / "cell.json")
    with pytest.raises(InputError, match=r"cell\.chemistry\.bpx: .*cell\.json is no BPX file \(.*No such file"):
        load_study(path)


@pytest.mark.parametrize(
    ("name", "text", "rates", "message"),
    [
        ("cell.json", "{}", "null", r"cell\.chemistry\.bpx: .* is no BPX file"),
        ("cell.txt", "", "null", r"cell\.chemistry\.bpx: got \"cell\.txt\", which does not end in \.json"),
        (
            "cell.json",
            None,
            "lgm50",
            r"population\.rate_posterior: got \"lgm50\"; packs draw rates fitted to .*; must be null",
        ),
    ],
)
def test_a_cell_that_cannot_be_is_refused(write, tmp_path, name, text, rates, message):
    (tmp_path / name).write_text(bpx_text() if text is None else text)
    with pytest.raises(InputError, match=message):
        load_study(write(bpx_study(name, rates)))


def test_the_schema_says_what_each_key_means():
    schema = Study.model_json_schema()
    undescribed = [
        f"{name}.{key}"
        for name, part in {"Study": schema, **schema["$defs"]}.items()
        for key, field in part.get("properties", {}).items()
        if "description" not in field and "$ref" not in field
    ]
    assert undescribed == []
    assert schema["additionalProperties"] is False


def test_the_schema_names_bounds_and_defaults():
    tile = Study.model_json_schema()["$defs"]["Execution"]["properties"]["tile"]
    assert (tile["minimum"], tile["maximum"], tile["default"]) == (16, 65536, 64)


def test_one_message_lists_all_that_is_wrong(write):
    with pytest.raises(InputError) as caught:
        load_study(write("{name: a b, packs: 0, draws: 2, yeers: 1, duty: {timestep_minutes: 7}}"))
    first, *others = str(caught.value).splitlines()
    assert first.endswith("study.yaml: 5 keys are wrong")
    assert [line.split(":")[0].strip() for line in others] == [
        "name",
        "packs",
        "years",
        "duty.timestep_minutes",
        "yeers",
    ]


def test_a_value_from_the_command_line_is_named_as_such(write):
    with pytest.raises(InputError, match=r"study.yaml: packs: got -1; must be .* \(--set packs=-1\)"):
        load_study(write("{name: a, packs: 4, draws: 2, years: 10}"), ["packs=-1"])
