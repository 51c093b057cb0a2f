"""What a run will need and whether it would work: memory, time and cost by a stated model, and checks of its parts."""
