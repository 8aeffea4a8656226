"""evolm's tests. Directories mirror those of ``evolm/``; ``tests.support`` holds what several of them use."""
