"""The tests. A package, so that the helpers in tests/support can be imported as tests.support from every folder."""
