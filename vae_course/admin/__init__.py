r"""The house's keepers: doctor, notebooks, stamp."""
