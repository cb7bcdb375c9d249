"""The command line: builds the parts and passes them down."""
