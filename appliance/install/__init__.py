"""Installs the appliance on a machine, for `scripts/provision`.

Steps, each with check, apply, verify and undo. Runs before any release is there, so it takes nothing but the standard
library, and rich where it is.
"""
