import pytest
from pydantic import ValidationError

from schemas.monitors import ModelEntry


@pytest.mark.parametrize("evidence", ["estimated_accuracy", "estimated_recall"])
def test_an_estimate_without_labels_never_authorises_a_rollback(evidence):
    with pytest.raises(ValidationError, match="an estimate without labels never authorises a rollback") as failed:
        ModelEntry(name="m", task="binary", positive_class="1", rollback={"mode": "auto", "evidence": evidence})
    assert "evidence" in str(failed.value)
