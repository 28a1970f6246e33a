"""The pages people see, and the files they load."""
