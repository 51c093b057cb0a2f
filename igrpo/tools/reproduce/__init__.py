"""The paper's tables, run again: data of each table, its runs and evaluations, and the printed numbers beside them."""
