"""The command `ttt3r`."""
