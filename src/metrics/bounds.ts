// Upper bounds of histograms, in seconds: the same for nodes and gateways, so that they can be laid over each other.

/** A short prompt on a fast machine to a long one on a slow. */
export const firstTokenBounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]

/** Whole answers. */
export const durationBounds = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800]
