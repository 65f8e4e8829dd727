"""Fixed first layers: from columns as they come to rows that a network learns well from."""
