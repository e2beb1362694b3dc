"""Without the extra [aif] everything but `from_pymdp` works, and that says what to install."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import sys
for name in ("pymdp", "equinox"):
    sys.modules[name] = None
import json
import numpy as np
import pyem
import pyem.engine
seen = {}
try:
    pyem.aif.from_pymdp(lambda z: z)
except ImportError as error:
    seen["message"] = str(error)
model = pyem.models.get("aif_tmaze")
data = pyem.simulate(model, subjects=2, blocks=3, trials=5, key=1)
seen["same"] = bool(np.allclose(pyem.engine.evaluate.log_lik(model, data, data.truth), data.log_lik))
made = {"outcomes": [np.zeros((4, 2, 6), int)] * 3, "multiactions": np.zeros((4, 2, 5, 2), int)}
seen["trials"] = pyem.aif.pymdp_data(made, model).n_trials
print(json.dumps(seen))
"""


def test_without_pymdp_it_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert 'pip install "pyem-behavior[aif]"' in seen["message"]
    assert seen["same"]
    assert seen["trials"] == 40
