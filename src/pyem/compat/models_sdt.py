"""The functions of `pyem.models.sdt`, which are pickled by that name."""

from __future__ import annotations

from pyem.compat.detection import signal_detection

sdt_sim, sdt_fit, sdt_model, sdt_id, sdt_spec, sdt_desc = signal_detection()
