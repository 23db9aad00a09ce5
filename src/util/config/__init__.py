"""YAML as checked data: `yaml_document` reads it with the line of each key, `schema` says what is wrong."""
