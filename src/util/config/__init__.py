"""YAML as checked data.

`yaml_document` reads it with the line of each key (`yaml_errors` says what is no YAML), `schema` checks it.
"""
