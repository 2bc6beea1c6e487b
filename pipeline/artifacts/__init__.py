"""What stages hand to each other on disk: each artifact has one reader and one writer, and checks what it reads."""
