// Every table of operations against doubles, and against the scalar table where equality to the bit is promised.
//   ops_test [scalar|avx2|avx512|neon]     without a name: each one that this CPU runs
// Buffers have exactly the size an operation may touch, so that AddressSanitizer sees any step beyond it, and start one
// element (weights: one byte) off their alignment.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ops_test_i8_tiles.h"
#include "ops_test_matmul.h"
#include "ops_test_sdpa.h"
#include "ops_test_support.h"

namespace {

constexpr size_t kSizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 2880};

void test_rmsnorm(const Ops& ops) {
  Random random;
  for (size_t n : kSizes) {
    for (float size : {0.0f, 1e-3f, 1.0f, 3e4f}) {
      Buffer<float> x(n), w(n), y(n);
      double squares = 0;
      for (size_t i = 0; i < n; i++) {
        x[i] = random.normal() * size, w[i] = random.normal();
        squares += static_cast<double>(x[i]) * x[i];
      }
      ops.f32_rmsnorm(y.data(), x.data(), w.data(), n, 1e-5f);
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5f);
      for (size_t i = 0; i < n; i++) {
        const double expected = x[i] * inverse * w[i];
        // A sum of squares has no cancellation: a few units of f32 all together.
        check_near(label(ops, "rmsnorm", {n, i}), y[i], expected, 1e-6 * std::fabs(expected));
      }
    }
  }
}

void test_to_bf16(const Ops& ops) {
  std::vector<float> x;
  for (uint32_t upper = 0; upper < 65536; upper++)
    for (uint32_t lower : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) x.push_back(float_of_bits(upper << 16 | lower));
  std::vector<uint16_t> y(x.size());
  ops.f32_to_bf16(y.data(), x.data(), x.size());
  for (size_t i = 0; i < x.size(); i++) {
    const uint32_t bits = bits_of_float(x[i]), upper = bits >> 16, lower = bits & 0xffff;
    if (std::isnan(x[i])) {
      CHECK(std::isnan(load_bf16(&y[i], 0)));
      continue;
    }
    const uint32_t expected = lower > 0x8000 || (lower == 0x8000 && upper % 2 == 1) ? upper + 1 : upper;
    if (y[i] != expected) check_failed(__FILE__, __LINE__, label(ops, "to_bf16 of bits", {bits}));
  }
  Random random;
  for (size_t n : kSizes) {
    Buffer<float> part(n);
    Buffer<uint16_t> result(n);
    for (size_t i = 0; i < n; i++) part[i] = random.normal();
    ops.f32_to_bf16(result.data(), part.data(), n);
    for (size_t i = 0; i < n; i++) CHECK_EQ(result[i], bf16_of_float(part[i]));
  }
}

// Blocks of 32 to be quantised: of all sizes, halfway between integers, and such that cannot be.
std::vector<std::vector<float>> blocks_to_quantize(float most) {
  Random random;
  std::vector<std::vector<float>> blocks(3, std::vector<float>(32));
  for (auto& x : blocks[0]) x = 0.0f;
  for (auto& x : blocks[1]) x = -0.0f;
  for (size_t i = 0; i < 32; i++) blocks[2][i] = float_of_bits(static_cast<uint32_t>(i + 1));  // subnormals
  for (float size : {1.2e-38f, 1.49e-36f, 1.5e-36f, 1e-30f, 1.0f, 1e5f, 8e37f}) {
    auto& block = blocks.emplace_back(32);
    for (float& x : block) x = random.normal() * size;
  }
  auto& ties = blocks.emplace_back(32);  // scale 1: halves go to the even neighbour
  for (size_t i = 0; i < 32; i++) ties[i] = static_cast<float>(i) - 15.5f;
  ties[31] = most;
  auto& extremes = blocks.emplace_back(32);
  for (size_t i = 0; i < 32; i++) extremes[i] = i % 2 ? 3.4028235e38f : -3.4028235e38f;
  for (float bad : {kInfinity, -kInfinity, kNan}) {
    auto& block = blocks.emplace_back(32, 1.0f);
    block[17] = bad;
  }
  return blocks;
}

// The block's scale, which has to be what the largest magnitude asks for; 0: there is nothing more to see.
float checked_scale(const std::vector<float>& block, float most, float scale) {
  float largest = 0;
  bool finite = true;
  for (float value : block) largest = std::fmax(largest, std::fabs(value)), finite = finite && std::isfinite(value);
  CHECK_EQ(std::isnan(scale), !finite);
  if (!finite) return 0;
  CHECK_EQ(scale, largest / most < kSmallestI8Scale ? 0.0f : largest / most);
  return scale > 0 ? scale : 1.2e-38f;  // a block that small becomes zeros
}

void test_quantize(const Ops& ops) {
  const auto blocks = blocks_to_quantize(127);
  const size_t n = blocks.size() * 32;
  Buffer<float> x(n);
  Buffer<I8Block> y(blocks.size()), expected(blocks.size());
  for (size_t i = 0; i < n; i++) x[i] = blocks[i / 32][i % 32];
  ops.f32_quantize_i8(y.data(), x.data(), n);
  ops_scalar()->f32_quantize_i8(expected.data(), x.data(), n);
  for (size_t b = 0; b < blocks.size(); b++) {
    CHECK(std::memcmp(y[b].q, expected[b].q, 32) == 0);
    const float scale = y[b].scale;
    CHECK_EQ(bits_of_float(scale), bits_of_float(expected[b].scale));
    int sum = 0;
    for (int8_t q : y[b].q) sum += q;
    CHECK_EQ(y[b].offset, -12 * sum);
    const float step = checked_scale(blocks[b], 127, scale);
    if (step == 0) continue;
    for (size_t i = 0; i < 32; i++) {
      const int value = y[b].q[i % 2 * 16 + i / 2];
      CHECK(value >= -127 && value <= 127);
      // Half a step, and what the reciprocal of the scale rounds: 127 * 2^-23 of a step.
      check_near(label(ops, "quantize", {b, i}), value * static_cast<double>(scale), blocks[b][i], scale > 0 ? step * 0.50002 : 127 * step);
    }
  }
  for (size_t i = 0; i < 31; i++) {
    const int8_t q = y[blocks.size() - 5].q[i % 2 * 16 + i / 2];
    CHECK_EQ(static_cast<double>(q), std::nearbyint(static_cast<double>(i) - 15.5));
  }
}

// 16 bits: two bytes that are in range, near the value, and the scalar operation's to the bit.
void test_quantize_i16(const Ops& ops) {
  constexpr float kMost = 127 + 256 * 127;
  auto blocks = blocks_to_quantize(kMost);
  auto& edges = blocks.emplace_back(32);  // scale 1: where low would be 128, on both sides
  for (size_t i = 0; i < 32; i++) edges[i] = static_cast<float>(i % 2 ? -1 : 1) * static_cast<float>(256 * i + 128);
  edges[31] = kMost;
  const size_t n = blocks.size() * 32;
  Buffer<float> x(n);
  Buffer<I16Block> y(blocks.size()), expected(blocks.size());
  for (size_t i = 0; i < n; i++) x[i] = blocks[i / 32][i % 32];
  ops.f32_quantize_i16(y.data(), x.data(), n);
  ops_scalar()->f32_quantize_i16(expected.data(), x.data(), n);
  for (size_t b = 0; b < blocks.size(); b++) {
    CHECK(std::memcmp(y[b].low, expected[b].low, 32) == 0 && std::memcmp(y[b].high, expected[b].high, 32) == 0);
    CHECK_EQ(bits_of_float(y[b].scale), bits_of_float(expected[b].scale));
    const float scale = y[b].scale, step = checked_scale(blocks[b], kMost, scale);
    int sum = 0;
    for (size_t i = 0; i < 32; i++) {
      const int low = y[b].low[i % 2 * 16 + i / 2], high = y[b].high[i % 2 * 16 + i / 2], value = low + 256 * high;
      CHECK(low >= -127 && low <= 127 && high >= -127 && high <= 127);
      sum += value;
      if (step == 0) continue;
      // Half a step, one more where low would be 128, and what the reciprocal of the scale rounds: 2^15 * 2^-23 of a step.
      const double most = 0.51 + (low == 127 || low == -127 ? 1 : 0);
      check_near(label(ops, "quantize_i16", {b, i}), value * static_cast<double>(scale), blocks[b][i],
                 scale > 0 ? step * most : kMost * step);
    }
    CHECK_EQ(y[b].offset, -128 * sum);
  }
}

void test_swiglu(const Ops& ops) {
  const float edges[] = {0.0f, -0.0f, 1e-20f, 1, -1, 3, -3, 6.9f, 6.99999f, 7, 7.1f, -6.9f, -7, -7.1f, 20, -20, -50,
                         -51.9f, -52.2f, -60, -100, 1e4f, -1e4f, 1e30f, -1e30f, 3e38f, -3e38f, kInfinity, kNan};
  std::vector<float> pairs;
  for (float gate : edges)
    for (float up : edges) pairs.insert(pairs.end(), {gate, up});
  Random random;
  for (size_t i = 0; i < 2000; i++) pairs.push_back(random.normal() * 8);
  const auto check = [&](float* x, size_t n, float limit) {
    Buffer<float> y(n);
    ops.f32_swiglu(y.data(), x, n, limit);
    for (size_t k = 0; k < n; k++) {
      const double raw_gate = x[2 * k], raw_up = x[2 * k + 1];
      const double gate = std::isnan(raw_gate) ? raw_gate : std::fmin(raw_gate, limit);
      const double up = std::isnan(raw_up) ? raw_up : std::fmin(std::fmax(raw_up, -limit), limit);
      const double expected = gate / (1 + std::exp(-1.702 * gate)) * (up + 1);
      // The argument of exp is rounded to f32: a relative error of |argument| * 2^-24 in the sigmoid. Beyond e^88 the
      // sigmoid is 0 in f32 and below 1e-38 in truth.
      const double relative = (8 + std::fabs(1.702 * gate)) * std::ldexp(1.0, -23);
      const double tiny = std::fabs(gate) * 8 * 1e-37;
      check_near(label(ops, "swiglu", {n, k}) + " " + std::to_string(raw_gate) + " " + std::to_string(raw_up), y[k],
                 expected, std::isnan(expected) ? 0 : std::fabs(expected) * relative + tiny);
    }
  };
  check(pairs.data(), pairs.size() / 2, 7.0f);
  check(pairs.data(), pairs.size() / 2, 2.5f);
  for (size_t n : kSizes) {
    Buffer<float> x(2 * n);
    for (size_t i = 0; i < 2 * n; i++) x[i] = random.normal() * 5;
    check(x.data(), n, 7.0f);
  }
}

void test_rope(const Ops& ops) {
  Random random;
  for (size_t dim : {2, 4, 6, 14, 16, 18, 32, 34, 64, 70, 128}) {
    const size_t heads = 3, half = dim / 2;
    Buffer<float> x(heads * dim), cos(half), sin(half);
    for (size_t i = 0; i < heads * dim; i++) x[i] = random.normal();
    for (size_t i = 0; i < half; i++) cos[i] = random.normal(), sin[i] = random.normal();
    const std::vector<float> before(x.data(), x.data() + heads * dim);
    ops.f32_rope(x.data(), cos.data(), sin.data(), heads, dim);
    for (size_t i = 0; i < heads * half; i++) {
      const size_t at = i / half * dim + i % half;
      const double a = before[at], b = before[at + half], c = cos[i % half], s = sin[i % half];
      const double tolerance = 2 * std::ldexp(std::fabs(a) + std::fabs(b), -23);  // |cos|, |sin| < 2 * 1.7 here
      check_near(label(ops, "rope", {dim, i}), x[at], a * c - b * s, 2 * tolerance);
      check_near(label(ops, "rope", {dim, i}), x[at + half], b * c + a * s, 2 * tolerance);
    }
  }
}

void test_axpy(const Ops& ops) {
  Random random;
  for (size_t n : kSizes) {
    Buffer<float> x(n), y(n);
    std::vector<double> expected(n);
    for (size_t i = 0; i < n; i++) {
      x[i] = random.normal(), y[i] = random.normal();
      expected[i] = y[i] + static_cast<double>(-1.3f) * x[i];
    }
    ops.f32_axpy(y.data(), -1.3f, x.data(), n);
    for (size_t i = 0; i < n; i++) check_near(label(ops, "axpy", {n, i}), y[i], expected[i], 5e-7);  // values below 8
  }
}

void test_argmax(const Ops& ops) {
  Random random;
  for (size_t n : kSizes) {
    Buffer<float> x(n);
    for (size_t round = 0; round < 20; round++) {
      for (size_t i = 0; i < n; i++) {
        x[i] = static_cast<float>(random.bits() % 8);  // many ties
        if (random.bits() % 5 == 0) x[i] = kNan;
      }
      CHECK_EQ(ops.f32_argmax(x.data(), n), ops_scalar()->f32_argmax(x.data(), n));
    }
    for (size_t at = 0; at < n && n < 101; at++) {  // one maximum, everywhere
      for (size_t i = 0; i < n; i++) x[i] = i == at ? 2.0f : i > at ? 1.0f : kNan;
      CHECK_EQ(ops.f32_argmax(x.data(), n), at);
      for (size_t i = at; i < n; i++) x[i] = -kInfinity;  // the lowest of equals, infinity or not
      CHECK_EQ(ops.f32_argmax(x.data(), n), at);
    }
    for (size_t i = 0; i < n; i++) x[i] = kNan;
    CHECK_EQ(ops.f32_argmax(x.data(), n), 0u);
    for (size_t i = 0; i < n; i++) x[i] = i % 2 ? 0.0f : -0.0f;
    CHECK_EQ(ops.f32_argmax(x.data(), n), 0u);
  }
}

// ---- int8 rows and noise: bit-equal everywhere ----------------------------------------------------------------------

// Tokens with no wide block, some and all of them, in any order beside each other; the largest sums that are allowed.
void test_i8_rows(const Ops& ops) {
  Random random;
  for (size_t stride : {64, 128, 192, 2880, 65536}) {
    const size_t blocks = stride / kI8RowAlign, most_wide = std::min<size_t>(blocks, stride == 65536 ? 4 : 7);
    for (size_t rows : {1, 3, 4, 5, 9, 37}) {
      for (size_t tokens : {1, 2, 3, 5, 6, 7, 8, 9, 13, 16, 32}) {
        if (rows * tokens * stride > 1000000 && tokens > 2) continue;  // time under emulation
        if (stride == 65536 && (rows > 5 || tokens > 2)) continue;
        const bool extreme = stride == 65536 || random.bits() % 3 == 0;
        const auto byte = [&] { return static_cast<int8_t>(extreme ? 127 : static_cast<int>(random.bits() % 255) - 127); };
        Buffer<uint8_t> w(rows * stride);
        Buffer<int8_t> x(tokens * 2 * stride);
        Buffer<float> w_scale(rows), y(tokens * (rows + 1));
        for (size_t i = 0; i < rows * stride; i++) w[i] = static_cast<uint8_t>(128 + byte());
        for (size_t r = 0; r < rows; r++) w_scale[r] = std::fabs(random.normal());
        std::vector<std::vector<uint32_t>> high_at(tokens);
        std::vector<I8Vector> vectors(tokens);
        for (size_t t = 0; t < tokens; t++) {
          int8_t *low = x.data() + 2 * t * stride, *high = low + stride;
          const int sign = random.bits() % 2 ? 1 : -1;
          int32_t sum = 0;
          for (size_t i = 0; i < stride; i++) sum += low[i] = static_cast<int8_t>(sign * byte());
          const size_t wide = random.bits() % (most_wide + 1);
          for (size_t b = 0; b < blocks && high_at[t].size() < wide; b++) {
            if (blocks - b == wide - high_at[t].size() || random.bits() % 3 == 0)
              high_at[t].push_back(static_cast<uint32_t>(b * kI8RowAlign));
          }
          for (size_t i = 0; i < wide * kI8RowAlign; i++) sum += 256 * (high[i] = static_cast<int8_t>(sign * byte()));
          vectors[t] = {low, high, high_at[t].data(), wide, sum, std::fabs(random.normal())};
        }
        const size_t begin = rows > 4 ? 1 : 0;
        for (size_t i = 0; i < tokens * (rows + 1); i++) y[i] = -7;
        ops.i8v_u8w_matmul({.x = vectors.data(), .tokens = tokens, .w = w.data(), .w_scale = w_scale.data(), .stride = stride,
                            .y = y.data(), .y_stride = rows + 1, .row_begin = begin, .row_end = rows});
        for (size_t t = 0; t < tokens; t++) {
          for (size_t r = 0; r <= rows; r++) {
            float expected = -7;  // not touched
            if (r >= begin && r < rows) {
              const uint8_t* row = w.data() + r * stride;
              int64_t sum = 0;
              for (size_t i = 0; i < stride; i++) sum += (row[i] - 128) * vectors[t].low[i];
              for (size_t i = 0; i < vectors[t].high_count * kI8RowAlign; i++)
                sum += 256 * (row[high_at[t][i / kI8RowAlign] + i % kI8RowAlign] - 128) * vectors[t].high[i];
              CHECK_EQ(sum, static_cast<int64_t>(static_cast<int32_t>(sum)));  // as the op may expect
              expected = static_cast<float>(sum) * (w_scale[r] * vectors[t].scale);
            }
            if (y[t * (rows + 1) + r] != expected)
              check_failed(__FILE__, __LINE__, label(ops, "i8v_u8w_matmul", {stride, rows, tokens, t, r}));
          }
        }
      }
    }
  }
}

void test_quantize_row(const Ops& ops) {
  Random random;
  for (size_t n : {1, 7, 15, 16, 17, 33, 64, 100, 2880}) {
    for (float size : {0.0f, 1e-38f, 1e-33f, 1e-10f, 0.02f, 1.0f, 1e4f}) {
      for (int spikes : {0, 1}) {
        Buffer<uint16_t> w(n);
        Buffer<int8_t> q(n), expected(n);
        for (size_t i = 0; i < n; i++) w[i] = bf16_of_float(random.normal() * size * (spikes && i % 97 == 0 ? 100 : 1));
        const I8Row row = ops.bf16_quantize_row(q.data(), w.data(), n);
        const I8Row wanted = ops_scalar()->bf16_quantize_row(expected.data(), w.data(), n);
        CHECK(std::memcmp(q.data(), expected.data(), n) == 0);
        CHECK(std::memcmp(&row, &wanted, sizeof row) == 0);
        double error = 0, norm = 0, most = 0;
        for (size_t i = 0; i < n; i++) {
          const double weight = load_bf16(w.data(), i), rest = weight - static_cast<double>(row.scale) * q[i];
          error += rest * rest, norm += weight * weight, most = std::fmax(most, std::fabs(weight));
          CHECK(q[i] >= -127);
          if (most > 1e-29) CHECK(std::fabs(rest) <= row.scale * 0.5001);
        }
        CHECK(row.error >= std::sqrt(error));  // bounds from above, and not by much
        CHECK(row.norm >= std::sqrt(norm));
        CHECK(row.error <= std::sqrt(error) * 1.001 + std::sqrt(norm) * 1e-6 + 1e-16);
        CHECK(row.norm <= std::sqrt(norm) * 1.001 + 1e-16);
      }
    }
  }
  for (float bad : {kInfinity, kNan, 3e38f}) {
    Buffer<uint16_t> w(20);
    Buffer<int8_t> q(20);
    w[17] = bf16_of_float(bad);
    CHECK(!std::isfinite(ops.bf16_quantize_row(q.data(), w.data(), 20).norm));
  }
}

void test_gumbel(const Ops& ops) {
  const auto hash = [](uint32_t id, uint64_t key) {  // as noise.h defines it
    uint32_t x = id ^ static_cast<uint32_t>(key);
    for (int round = 0; round < 2; round++) {
      x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu, x ^= x >> 16;
      x += static_cast<uint32_t>(key >> 32);
    }
    return x;
  };
  for (uint64_t key : {0ull, 1ull, 0x0123456789abcdefull, ~0ull}) {
    for (size_t n : {1, 15, 16, 17, 100, 3000}) {
      Buffer<float> y(n), expected(n);
      ops.f32_gumbel(y.data(), key, 77, n);
      ops_scalar()->f32_gumbel(expected.data(), key, 77, n);
      CHECK(std::memcmp(y.data(), expected.data(), n * sizeof(float)) == 0);
      for (size_t i = 0; i < n; i++) {
        const double u = ((hash(static_cast<uint32_t>(77 + i), key) >> 1) + 0.5) / 2147483648.0;
        // Near u = 1, where nobody wins, 1 - u has only what is left of 24 bits.
        const double e = -std::log1p(-u), tolerance = 2e-6 * (2 + std::fabs(y[i])) + std::exp(e) * 0x1p-23 / e;
        check_near(label(ops, "gumbel", {n, i}), y[i], -std::log(e), tolerance);
      }
    }
  }
  // Ids of a range are the same whatever the range, and the noise stays where screened_head.cpp believes it.
  std::vector<float> all(1 << 20), part(5);
  ops.f32_gumbel(all.data(), 99, 0, all.size());
  ops.f32_gumbel(part.data(), 99, 1000, part.size());
  CHECK(std::memcmp(part.data(), &all[1000], sizeof(float) * 5) == 0);
  for (float noise : all) CHECK(noise > -4 && noise < 32);
}

// Against the formula in ops.h, with the largest reach at every place once.
void test_most_reach(const Ops& ops) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 2);
  for (size_t n : {1, 2, 15, 16, 17, 63, 64, 100}) {
    Buffer<float> y(n), errors(n), norms(n), noise(n);
    for (size_t i = 0; i < n; i++) {
      y[i] = normal(random) - 5;
      errors[i] = std::fabs(normal(random));
      norms[i] = std::fabs(normal(random));
      noise[i] = normal(random);
    }
    for (bool noisy : {false, true}) {
      const ReachArgs args{.y = y.data(), .errors = errors.data(), .norms = norms.data(),
                           .noise = noisy ? noise.data() : nullptr,
                           .error_factor = 0.3f, .norm_factor = 0.01f, .tiny = 1e-9f, .inverse = 1.7f};
      for (size_t high = 0; high < n; high++) {
        const float kept = y[high];
        y[high] = 40;
        float most = -INFINITY;
        for (size_t i = 0; i < n; i++) {
          const float bound = errors[i] * args.error_factor + norms[i] * args.norm_factor + args.tiny;
          float score = (y[i] + bound) * args.inverse;
          if (noisy) score += noise[i];
          most = std::max(most, score + 0x1p-20f * (std::fabs(score) + (noisy ? 32.0f : 0.0f)));
        }
        CHECK_EQ(ops.f32_most_reach(args, n), most);
        y[high] = kept;
      }
    }
  }
}

void test_dispatch() {
  CHECK_EQ(std::string(select_ops(Isa::scalar)->name), "scalar");
  const char* before = std::getenv("SWITCHYARD_ISA");
  const std::string saved = before ? before : "";
  setenv("SWITCHYARD_ISA", "scalar", 1);
  CHECK(select_ops(Isa::automatic) == ops_scalar());
  setenv("SWITCHYARD_ISA", "avx513", 1);
  CHECK(select_ops(Isa::automatic) == nullptr);
  for (const auto& [name, isa] : {std::pair{"avx2", Isa::avx2}, {"avx512", Isa::avx512}, {"neon", Isa::neon}}) {
    setenv("SWITCHYARD_ISA", name, 1);
    CHECK(select_ops(Isa::automatic) == select_ops(isa));
  }
  unsetenv("SWITCHYARD_ISA");
  const Ops* best = select_ops(Isa::automatic);
  for (Isa isa : {Isa::neon, Isa::avx2, Isa::avx512})
    if (select_ops(isa) && (isa == Isa::avx512 || !select_ops(Isa::avx512))) CHECK(best == select_ops(isa));
  if (before) setenv("SWITCHYARD_ISA", saved.c_str(), 1);
}

void test_table(const Ops& ops) {
  for (const MatmulOp& op : kMatmuls) {
    test_matmul(ops, op);
    test_batch_invariance(ops, op);
    if (op.mxfp4) test_every_byte(ops, op);
  }
  test_sdpa(ops);
  test_sdpa_special<false>(ops);
  test_sdpa_special<true>(ops);
  test_exponential(ops);
  test_rmsnorm(ops);
  test_to_bf16(ops);
  test_quantize(ops);
  test_quantize_i16(ops);
  test_swiglu(ops);
  test_rope(ops);
  test_axpy(ops);
  test_argmax(ops);
  test_i8_tiles(ops);
  test_i8_rows(ops);
  test_quantize_row(ops);
  test_gumbel(ops);
  test_most_reach(ops);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string wanted = argc > 1 ? argv[1] : "";
  bool known = wanted.empty();
  if (wanted.empty()) test_dispatch();
  if (wanted.empty()) test_i8_packing();
  for (const auto& [name, isa] : {std::pair{"scalar", Isa::scalar}, {"avx2", Isa::avx2}, {"avx512", Isa::avx512}, {"neon", Isa::neon}}) {
    if (!wanted.empty() && wanted != name) continue;
    known = true;
    const Ops* ops = select_ops(isa);
    if (!ops) {
      std::printf("skipped: this CPU lacks %s\n", name);
      continue;
    }
    CHECK_EQ(std::string(ops->name), name);
    test_table(*ops);
    std::printf("%s: %s\n", name, check_failures() ? "failed" : "ok");
  }
  if (!known) {
    std::fprintf(stderr, "ops_test: no such table: %s (scalar, avx2, avx512, neon)\n", wanted.c_str());
    return 2;
  }
  return check_result();
}
