"""Tests of Millrace; a package, so that tests can share tests.support."""
