"""Files that a study can name, told by how their names end. Imports nothing, so that reading a study stays quick."""

WEATHER_SUFFIXES = (".epw", ".epw.gz", ".csv", ".csv.gz")
"""Weather of one year."""
CLIMATE_SUFFIXES = (".json", *WEATHER_SUFFIXES)
"""What a climate is made from."""
