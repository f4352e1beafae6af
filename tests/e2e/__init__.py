"""Declared scenarios on the whole product: git, engine, go, Apache and PHP are real."""
