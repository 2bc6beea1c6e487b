from pipeline.judges import trained
from pipeline.reporting import remarks


def test_a_gate_that_learned_from_real_images_is_remarked_if_its_fill_was_trained() -> None:
    (said,) = remarks.on_gate(trained.NAME, ["none", "synthetic-gated"])
    assert "not due to the generator alone" in said
    assert list(remarks.on_gate(trained.NAME, ["none", "synthetic"])) == []
    assert list(remarks.on_gate("clip:somebody/model", ["synthetic-gated"])) == []
    assert list(remarks.on_gate(None, ["synthetic-gated"])) == []
