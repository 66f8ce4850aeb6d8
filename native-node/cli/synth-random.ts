// Random bytes for synthetic checkpoints: pools filled once, then written from changing places. Drawing every weight anew
// would make the processor the limit, not the disk.

export interface Pools {
  /** bf16, normal, standard deviation 0.02. */
  weights: Uint8Array
  /** bf16 1.0, for norms. */
  ones: Uint8Array
  /** MXFP4 pairs, uniform. */
  nibbles: Uint8Array
  /** E8M0 119..121: with uniform nibbles (rms 2.93) a standard deviation near 0.02. */
  scales: Uint8Array
}

const poolBytes = 32 * 1024 * 1024

/** xoshiro-like 32-bit generator; quality enough for noise weights, 4 bytes a call. */
function generator(seed: number) {
  let a = (seed ^ 0x9e3779b9) >>> 0 || 1
  let b = 0x243f6a88
  let c = 0xb7e15162
  let d = 0xdeadbeef
  return () => {
    const t = b << 9
    const result = Math.imul((Math.imul(b, 5) << 7) | (Math.imul(b, 5) >>> 25), 9)
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << 11) | (d >>> 21)
    return result >>> 0
  }
}

/** Upper half of a float32's bits, rounded to nearest even. */
function toBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** 65,536 quantiles of a normal distribution as bf16 (Acklam's rational approximation is more than bf16 can hold). */
function normalTable(deviation: number): Uint16Array {
  const table = new Uint16Array(65_536)
  for (let i = 0; i < table.length; i++) {
    const p = (i + 0.5) / table.length
    const tail = Math.min(p, 1 - p)
    // Hastings 26.2.23, |error| < 4.5e-4.
    const t = Math.sqrt(-2 * Math.log(tail))
    const z =
      t -
      (2.515517 + 0.802853 * t + 0.010328 * t * t) /
        (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t)
    table[i] = toBf16((p < 0.5 ? -z : z) * deviation)
  }
  return table
}

export function randomPools(seed: number): Pools {
  const next = generator(seed)
  const nibbles = new Uint32Array(poolBytes / 4)
  for (let i = 0; i < nibbles.length; i++) nibbles[i] = next()
  const table = normalTable(0.02)
  const weights = new Uint16Array(poolBytes / 2)
  for (let i = 0; i < weights.length; i++) weights[i] = table[next() >>> 16] ?? 0
  const scales = new Uint8Array(poolBytes / 8)
  for (let i = 0; i < scales.length; i++) scales[i] = 119 + ((next() >>> 8) % 3)
  const ones = new Uint16Array(64 * 1024).fill(0x3f80)
  return {
    weights: new Uint8Array(weights.buffer),
    ones: new Uint8Array(ones.buffer),
    nibbles: new Uint8Array(nibbles.buffer),
    scales,
  }
}

let turn = 0

/** Pieces of `bytes` in all, each a view of a pool that begins somewhere else than the last. */
export function* fillRandom(pools: Pools, kind: keyof Pools, bytes: number): Generator<Uint8Array> {
  const pool = pools[kind]
  for (let left = bytes; left > 0; ) {
    // Two layers must not be equal: each piece begins at another (even) place of the pool.
    turn = (turn + 7_368_787) % (pool.byteLength / 2)
    const start =
      pool.byteLength > left
        ? ((turn * 2) % (pool.byteLength - left)) & ~1
        : ((turn * 2) % (pool.byteLength / 2)) & ~1
    const piece = pool.subarray(start, Math.min(pool.byteLength, start + left))
    left -= piece.byteLength
    yield piece
  }
}
