"""The tests of lwm2md, laid out as the package is."""
