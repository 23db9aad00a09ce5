"""Read and check YAML.

`yaml_document` reads it with the line of each key, `yaml_errors` explains syntax errors, `schema` checks it.
"""
