"""The tables in which the machines of a study tell each other what they do, beside those of Optuna."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
RECORDS = sa.Table(
    "joulesearch_records",
    METADATA,
    sa.Column("sequence", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("study", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("line", sa.Text, nullable=False),
    sa.UniqueConstraint("study", "run_id"),
)
CLAIMS = sa.Table(
    "joulesearch_claims",
    METADATA,
    sa.Column("study", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("partial", sa.Text, nullable=False),
    sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
)
DECISIONS = sa.Table(
    "joulesearch_decisions",
    METADATA,
    sa.Column("study", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)
STUDIES = sa.Table(
    "joulesearch_studies",
    METADATA,
    sa.Column("study", sa.Text, primary_key=True),
    sa.Column("config", sa.Text, nullable=False),
)
PROCESSES = sa.Table(
    "joulesearch_processes",
    METADATA,
    sa.Column("study", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
)
