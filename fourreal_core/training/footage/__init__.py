"""From footage to what training draws from: prepare.py (sources), store.py (on disk), mixture.py (folders), examples.py (batches)."""
