"""What several test files use: small campaigns, tiny models, real processes, and the fixtures built on them.

Test files import functions and classes from here by name. The modules that end in ``_fixtures`` are pytest plugins,
loaded by ``tests/conftest.py``, so their fixtures are known to every test.
"""
