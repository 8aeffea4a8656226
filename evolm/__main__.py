"""``python -m evolm`` is ``evolm``."""

from evolm.cli import main

main()
