"""What several of the library's commands take: who does it, why, and an answer for machines."""

import click

by_option = click.option("--by", "who", help="Who you are, for the history.  [default: user@host]")
why_option = click.option("--reason", "why", default="", help="Why; it is kept.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
