"""The commands about measured data: `fadecast data list|show|check`."""

import sys
from typing import Annotated

import typer

data = typer.Typer(help="Measured data that fadecast knows: what there is, where it comes from, whether it is sound.")

SetName = Annotated[str, typer.Argument(metavar="NAME", help="A set of the catalogue.", show_default=False)]


@data.command("list", epilog="Example: fadecast data list")
def data_list() -> None:
    """List the sets of the catalogue, and whether they are on this machine."""
    from fadecast.locations import data_root
    from fadecast.measured.catalogue import CATALOGUE, available

    width = max(map(len, CATALOGUE))
    for name, source in CATALOGUE.items():
        print(f"{name:<{width}}  {'here' if available(name) else '-':<4}  {source.what} [{source.licence}]")
    print(f"looked for under {data_root()}; set FADECAST_DATA for another place")


@data.command("show", epilog="Example: fadecast data show kirkaldy2024_lgm50t_expt2_2")
def data_show(name: SetName) -> None:
    """Say what a set is, who measured it, under which licence, and where its files are."""
    from fadecast.locations import data_root
    from fadecast.measured.catalogue import available, known_source

    source = known_source(name)
    for key in ("name", "what", "citation", "licence", "origin", "sha256"):
        print(f"{key}: {getattr(source, key)}")
    print(f"folder: {data_root() / source.folder} ({'here' if available(name) else 'not all files are here'})")
    print("files:", *source.files, sep="\n  ")


@data.command("check", epilog="Example: fadecast data check")
def data_check(name: Annotated[str | None, typer.Argument(help="A set; all that are here by default.")] = None) -> None:
    """Compare the files of sets with their checksums; exit 1 where one differs or a set that was named is missing."""
    from fadecast.measured.catalogue import (
        CATALOGUE,
        MeasuredDataError,
        MissingDataError,
        available,
        fetch,
        known_source,
    )

    wanted = [known_source(name).name] if name else [each for each in CATALOGUE if available(each)]
    sound = 0
    for each in wanted:
        try:
            fetch(each)
        except (MeasuredDataError, MissingDataError) as error:
            print(f"{each}: {error}", file=sys.stderr)
        else:
            print(f"{each}: sound")
            sound += 1
    print(f"sets: {len(CATALOGUE)} checked: {len(wanted)} sound: {sound}")
    if sound < len(wanted):
        raise typer.Exit(1)
