"""Evaluation of a trained model or any other, apart from training (`igrpo eval`)."""
