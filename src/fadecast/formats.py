"""Files that a study can name, told by how their names end. Imports nothing, so that reading a study stays quick."""

WEATHER_SUFFIXES = (".epw", ".epw.gz", ".csv", ".csv.gz")
"""Weather of one year."""
CLIMATE_SUFFIXES = (".json", *WEATHER_SUFFIXES)
"""What a climate is made from."""
TRACE_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".nc")
"""Measured power in time."""
POSTERIOR_SUFFIX = ".nc"
"""What `fadecast calibrate` found of cells."""
BPX_SUFFIX = ".json"
"""A cell as BPX."""

DATA_KEYS = {
    ("cell", "chemistry", "bpx"): (BPX_SUFFIX,),
    ("site", "climate"): CLIMATE_SUFFIXES,
    ("duty", "workload", "trace", "file"): TRACE_SUFFIXES,
    ("population", "split", "posterior"): (POSTERIOR_SUFFIX,),
    ("population", "rate_posterior"): (POSTERIOR_SUFFIX,),
}
"""Keys of a study that may name a file, and how its name then ends; a relative one is looked for beside the study."""
