"""secdns: an encrypted-DNS stub resolver for the machine you sit at."""

__version__ = "0.1.0"
