"""What a study found, for people (`report.html`), for scripts (`summary.json`) and for the terminal.

Each folder imports only those above it in this list:

- `view`: what the records say, as values: baseline, fronts, costs, meters side by side
- `findings`: the view in words: headline, caveats, notes, advice, the texts of every table
- `figures`: one file a figure: what it shows, then the drawing
- `page`: `report.html`, which prints findings and figures

`summary_json` and `csv_columns` tell scripts what the view holds, `schema` writes down what they may rely on,
`console` draws the front on a terminal, `write` writes the files.
"""
