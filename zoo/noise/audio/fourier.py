"""Lengths that a fast Fourier transform likes."""


def fast_length(size: int) -> int:
    """The smallest length of at least `size` whose only factors are 2, 3 and 5.

    Transforms of other lengths, primes above all, take several times as long.
    """
    best = 1 << max(size - 1, 0).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three
            while two < size:
                two *= 2
            best = min(best, two)
            three *= 3
        five *= 5
    return best
