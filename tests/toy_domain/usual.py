"""How events are attacked most often: by one in front."""

from toy_domain.triggers import EventTrigger


def usual_triggers(inputs, rng):
    """Draw an event."""
    return {"event": EventTrigger(f"event{rng.integers(10**6)}")}
