// Attention of one query position over a span of cached positions, written once over a vector class V (see simd_kernels.h)
// and a Kernel: heads x positions for the scores, heads x elements for the values, tile by tile, as two small matrix
// products with the softmax between them. Lanes are positions in the first and elements in the second, so that nothing is
// summed across lanes but one maximum and one sum a head.
//
// A Kernel offers kRows (heads of one product, and 4 or 1 for the rest), prepare (the queries), scores, kScoreUnit (what one
// of its scores is in those of SdpaPart), weights (scores to weights and their sum) and values. SdpaF32 below is the one that
// multiplies in f32.
#pragma once

#include "simd_kernels.h"

namespace switchyard {

constexpr size_t kKvCell = 4;  // bytes

// The cell as f32: kParts numbers.
struct F32Cells {
  static constexpr size_t kParts = 1;
  template <class V>
  static void expand(typename V::F cell, typename V::F* out) {
    out[0] = cell;
  }
};
struct Bf16Cells {
  static constexpr size_t kParts = 2;
  template <class V>
  static void expand(typename V::F cell, typename V::F* out) {
    out[0] = V::lower_bf16(cell);
    out[1] = V::upper_bf16(cell);
  }
};

// Positions [begin, end) of a tile, in rows of `parts` positions.
struct TileRange {
  size_t begin, end;
  size_t first_row(size_t parts) const { return begin / parts; }
  size_t end_row(size_t parts) const { return (end + parts - 1) / parts; }
};

// Tiles of the span that hold attended positions, and what of each is attended.
struct SpanTiles {
  size_t first, end;
  const SdpaArgs& args;
  explicit SpanTiles(const SdpaArgs& a) : first(a.begin / kKvTile), end((a.end + kKvTile - 1) / kKvTile), args(a) {}
  // What is read kSdpaAhead tiles after the one that is number `i`, where keys come first, then values.
  const void* ahead(size_t i) const {
    const size_t count = end - first;
    i += kSdpaAhead;
    if (i < count) return args.k_tiles[first + i];
    if (i < 2 * count) return args.v_tiles[first + i - count];
    return args.next_tiles[i - 2 * count < args.next_count ? i - 2 * count : 0];
  }
  const uint8_t* keys(size_t tile) const { return static_cast<const uint8_t*>(args.k_tiles[tile]); }
  const uint8_t* values(size_t tile) const { return static_cast<const uint8_t*>(args.v_tiles[tile]); }
  size_t positions() const { return (end - first) * kKvTile; }
  TileRange range(size_t tile) const {
    const size_t at = tile * kKvTile;
    return {args.begin > at ? args.begin - at : 0, args.end - at < kKvTile ? args.end - at : kKvTile};
  }
};

// Asks for what comes kSdpaAhead tiles later, in the order in which it is read, bit by bit as the work goes on: what is asked
// for all at once makes loads wait, and so does memory that had nothing to do in between. Into the second cache, which waits
// for more lines at a time than the first: tiles of one head lie too far apart for the hardware to see them coming.
class Ahead {
 public:
  Ahead(const SpanTiles& tiles, size_t tile_bytes) : tiles_(tiles), tile_bytes_(tile_bytes) {}

  void ask(size_t bytes) {
    if (left_ < bytes) {
      at_ = static_cast<const uint8_t*>(tiles_.ahead(count_++));
      left_ = tile_bytes_;
    }
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(at_ + i, 0, 2);
    at_ += bytes;
    left_ -= bytes;
  }

 private:
  const SpanTiles& tiles_;
  const size_t tile_bytes_;
  size_t count_ = 0, left_ = 0;
  const uint8_t* at_ = nullptr;
};

template <class V, class Cells, size_t kMaxRows>
struct SdpaF32 {
  static constexpr size_t kRows = kMaxRows, kParts = Cells::kParts;
  static constexpr float kScoreUnit = 1;
  using F = typename V::F;

  static void prepare(const SdpaArgs&, float*) {}

  // scores[h][p] = scale * dot(q[head + h], key[p]) for the positions of a tile; scores begin with this tile's first.
  template <size_t kHeads>
  static void scores(const SdpaArgs& args, size_t head, const float*, const uint8_t* tile, Ahead* ahead, float* scores) {
    const size_t rows = args.head_dim / kParts;
    const float* q = args.q + head * args.head_dim;
    for (size_t p = 0; p < kKvTile; p += 2 * V::kLanes) {
      F sums[kHeads][2];
      for (auto& sum : sums) sum[0] = sum[1] = V::zero();
      for (size_t row = 0; row < rows; row++) {
        const size_t at = (row * kKvTile + p) * kKvCell;
        if (head == 0) ahead->ask(2 * V::kLanes * kKvCell);
        for (size_t j = 0; j < 2; j++) {
          F key[kParts];
          Cells::template expand<V>(V::load(reinterpret_cast<const float*>(tile + at) + j * V::kLanes), key);
          for (size_t h = 0; h < kHeads; h++) {
            for (size_t part = 0; part < kParts; part++)
              sums[h][j] = V::fma(V::set1(q[h * args.head_dim + row * kParts + part]), key[part], sums[h][j]);
          }
        }
      }
      for (size_t h = 0; h < kHeads; h++) {
        for (size_t j = 0; j < 2; j++)
          V::store(scores + h * kSdpaSpan + p + j * V::kLanes, V::mul(sums[h][j], V::set1(args.scale)));
      }
    }
  }

  // In place; returns the sum.
  static float weights(float* scores, size_t count, float largest, Ahead*) {
    auto sum = V::zero();
    for (size_t p = 0; p < count; p += V::kLanes) {
      const F weight = vector_exp<V>(V::sub(V::load(scores + p), V::set1(largest)));
      V::store(scores + p, weight);
      sum = V::add(sum, weight);
    }
    return lane_sum<V>(sum);
  }

  // values[h][i...] = sum over the span of weights[h][p] * value[p][i...], for kVectors vectors of `n` elements.
  template <size_t kHeads, size_t kVectors>
  static void values(const SpanTiles& tiles, size_t head, const float* weights, Ahead* ahead, size_t i, size_t n) {
    const size_t dim = tiles.args.head_dim;
    float* out = tiles.args.out.values + head * dim + i;
    F sums[kHeads][kVectors];
    for (auto& of_head : sums)
      for (F& sum : of_head) sum = V::zero();
    for (size_t t = tiles.first; t < tiles.end; t++, weights += kKvTile) {
      const uint8_t* tile = tiles.values(t);
      const TileRange range = tiles.range(t);
      for (size_t row = range.first_row(kParts); row < range.end_row(kParts); row++) {
        const size_t at = (row * dim + i) * kKvCell;
        if (head == 0) ahead->ask(kVectors * V::kLanes * kKvCell);
        for (size_t j = 0; j < kVectors; j++) {
          F value[kParts];
          Cells::template expand<V>(load<kVectors>(reinterpret_cast<const float*>(tile + at), j, n), value);
          if constexpr (kParts == 2) {
            if (row * 2 < range.begin) value[0] = V::zero();
            if (row * 2 + 1 >= range.end) value[1] = V::zero();
          }
          for (size_t h = 0; h < kHeads; h++) {
            for (size_t part = 0; part < kParts; part++)
              sums[h][j] = V::fma(V::set1(weights[h * kSdpaSpan + row * kParts + part]), value[part], sums[h][j]);
          }
        }
      }
    }
    for (size_t h = 0; h < kHeads; h++) {
      for (size_t j = 0; j < kVectors; j++) {
        if constexpr (kVectors > 1) V::store(out + h * dim + j * V::kLanes, sums[h][j]);
        else V::store_n(out + h * dim, sums[h][j], n);
      }
    }
  }

 private:
  template <size_t kVectors>
  static F load(const float* from, size_t j, size_t n) {
    if constexpr (kVectors > 1) return V::load(from + j * V::kLanes);
    else return V::load_n(from, n);
  }
};

// The values of kHeads heads, their sums in registers through all tiles.
template <class V, class Kernel, size_t kHeads>
static inline void sdpa_values(const SpanTiles& tiles, size_t head, const float* weights, Ahead* ahead) {
  const size_t dim = tiles.args.head_dim;
  size_t i = 0;
  for (; i + 2 * V::kLanes <= dim; i += 2 * V::kLanes)
    Kernel::template values<kHeads, 2>(tiles, head, weights, ahead, i, V::kLanes);
  for (; i < dim; i += V::kLanes)
    Kernel::template values<kHeads, 1>(tiles, head, weights, ahead, i, dim - i < V::kLanes ? dim - i : V::kLanes);
}

// Calls visit(head, number of heads as a constant) for the heads of the group.
template <size_t kHeads>
struct Heads {
  static constexpr size_t kCount = kHeads;
};
template <class Kernel, class Visit>
static inline void for_heads(size_t group, const Visit& visit) {
  size_t head = 0;
  for (; head + Kernel::kRows <= group; head += Kernel::kRows) visit(head, Heads<Kernel::kRows>());
  if constexpr (Kernel::kRows > 4)
    for (; head + 4 <= group; head += 4) visit(head, Heads<4>());
  for (; head < group; head++) visit(head, Heads<1>());
}

// The largest of `count` numbers, -FLT_MAX at least: the difference to it is a number, or NaN where a score is.
template <class V>
static inline float largest_of(const float* x, size_t count) {
  auto largest = V::set1(-3.4028235e38f);
  for (size_t i = 0; i < count; i += V::kLanes) largest = V::max(V::load(x + i), largest);
  float lanes[V::kLanes], most = -3.4028235e38f;
  V::store(lanes, largest);
  for (float lane : lanes) most = lane > most ? lane : most;
  return most;
}

template <class V, class Kernel>
void simd_sdpa(const SdpaArgs& args) {
  const SpanTiles tiles(args);
  const size_t positions = tiles.positions();
  // 64-byte rows: a vector never straddles two lines.
  float* scores = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(args.scratch) + 63) / 64 * 64);
  float* q = scores + args.group * kSdpaSpan;
  Kernel::prepare(args, q);
  Ahead ahead(tiles, kKvTile * args.head_dim / Kernel::kParts * kKvCell);
  for (size_t t = tiles.first; t < tiles.end; t++) {
    for_heads<Kernel>(args.group, [&](size_t head, auto heads) {
      float* of_tile = scores + head * kSdpaSpan + (t - tiles.first) * kKvTile;
      Kernel::template scores<decltype(heads)::kCount>(args, head, q, tiles.keys(t), &ahead, of_tile);
    });
  }
  const size_t skipped = args.begin - tiles.first * kKvTile, last = args.end - tiles.first * kKvTile;
  for (size_t h = 0; h < args.group; h++) {
    float* row = scores + h * kSdpaSpan;
    for (size_t p = 0; p < skipped; p++) row[p] = -__builtin_inff();
    for (size_t p = last; p < positions; p++) row[p] = -__builtin_inff();
    const float largest = largest_of<V>(row, positions);
    args.out.max[h] = largest * Kernel::kScoreUnit;
    args.out.sum[h] = Kernel::weights(row, positions, largest, &ahead);
  }
  for_heads<Kernel>(args.group, [&](size_t head, auto heads) {
    sdpa_values<V, Kernel, decltype(heads)::kCount>(tiles, head, scores + head * kSdpaSpan, &ahead);
  });
}

// y = a y + b x (n).
template <class V>
static inline void blend(float* y, float a, const float* x, float b, size_t n) {
  for (size_t i = 0; i < n; i += V::kLanes) {
    const size_t left = n - i < V::kLanes ? n - i : V::kLanes;
    V::store_n(y + i, V::fma(V::load_n(x + i, left), V::set1(b), V::mul(V::load_n(y + i, left), V::set1(a))), left);
  }
}

template <class V>
void simd_sdpa_merge(const SdpaPart& into, const SdpaPart& from, size_t group, size_t head_dim) {
  for (size_t h = 0; h < group; h++) {
    const float most = into.max[h] > from.max[h] ? into.max[h] : from.max[h];
    const float a = scalar_exp<V>(into.max[h] - most), b = scalar_exp<V>(from.max[h] - most);
    into.max[h] = most;
    into.sum[h] = into.sum[h] * a + from.sum[h] * b;
    blend<V>(into.values + h * head_dim, a, from.values + h * head_dim, b, head_dim);
  }
}

template <class V>
void simd_sdpa_finish(float* out, const SdpaPart& part, const float* sinks, size_t group, size_t head_dim) {
  for (size_t h = 0; h < group; h++) {
    const float most = part.max[h] > sinks[h] ? part.max[h] : sinks[h];
    const float weight = scalar_exp<V>(part.max[h] - most);
    const float factor = weight / (part.sum[h] * weight + scalar_exp<V>(sinks[h] - most));
    const auto factors = V::set1(factor);
    const float* values = part.values + h * head_dim;
    for (size_t i = 0; i < head_dim; i += V::kLanes) {
      const size_t left = head_dim - i < V::kLanes ? head_dim - i : V::kLanes;
      V::store_n(out + h * head_dim + i, V::mul(V::load_n(values + i, left), factors), left);
    }
  }
}

}  // namespace switchyard
