"""What the parts make: the flow, and the ensemble that is fitted."""
