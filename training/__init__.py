"""What makes the embedded checkpoint: the drawn world, its language, the trainers and the evaluation."""
