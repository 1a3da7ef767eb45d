"""CPUs: the package counters of RAPL, and busy core-seconds times watts."""
