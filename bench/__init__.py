"""The benchmarks: folders by the rooms of src/optcore, one timing harness for all. README.md says which question each
answers, and how it is run."""
