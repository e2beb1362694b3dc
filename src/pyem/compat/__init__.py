"""The pyEM interface over this library: adapters only; what they compute is computed by the rest of the package."""
