"""Each exchange as the `threatexchange` package knows it, a file each: its words and errors in ours. The package need
not be installed; nothing else imports it, nor this.
"""
