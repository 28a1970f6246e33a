"""`python -m bench.simulate`: what many copies and nodes would do; simulation/ works it out."""

from simulation.__main__ import main

main(prog_name="python -m bench.simulate")
