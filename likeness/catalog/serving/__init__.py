"""What serving needs to remember: who may ask, and what is being worked on."""
