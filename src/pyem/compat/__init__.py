"""The pyEM interface over this library: adapters only, which leave all computation to the rest of the package."""
