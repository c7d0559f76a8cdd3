class Meter:
    """The mean of what came since it was last asked."""

    def __init__(self):
        self.values = []

    def add(self, value):
        self.values.append(value)

    def take(self):
        mean = sum(self.values) / len(self.values) if self.values else 0.0
        self.values = []
        return mean
