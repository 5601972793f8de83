# SPDX-License-Identifier: Apache-2.0
"""Folders of a module's fixtures end with the module: each workspace holds an image of half a gigabyte, and pytest alone would
keep them all until the last test of the run."""
import shutil

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    if fixturedef.scope == "session" or "tmp_path_factory" not in fixturedef.argnames:
        return (yield)
    basetemp = request.getfixturevalue("tmp_path_factory").getbasetemp()
    before = set(basetemp.iterdir())  # fixtures that this one asks for are set up already: what comes now is its own
    made = []
    # Finalizers run last in, first out, so this one, put in before the fixture runs, comes after the fixture has stopped its servers.
    fixturedef.addfinalizer(lambda: [shutil.rmtree(folder, ignore_errors=True) for folder in made])
    try:
        return (yield)
    finally:
        made += set(basetemp.iterdir()) - before
