"""What every part needs and nothing of the method: errors, files, configuration, pictures, seeds."""
