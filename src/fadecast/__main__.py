"""`python -m fadecast` is the command `fadecast`."""

from fadecast.cli import main

main()
