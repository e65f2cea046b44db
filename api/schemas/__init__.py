"""What goes over the wire, typed. Field descriptions are the reference: see /docs."""
