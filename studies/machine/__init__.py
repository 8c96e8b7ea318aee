"""The machine: threads and cores, devices, processes, versions."""
