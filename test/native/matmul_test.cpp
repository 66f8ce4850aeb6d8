// The engine's matrix products: however a loop is cut into pieces of rows and tokens, and with SwiGLU taken where the product
// left its pairs, every number is the one that the bare operations give, to the bit.
#include "matmul.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "ops/mxfp4_tiles.h"

using namespace switchyard;

namespace {

constexpr Isa kIsas[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::neon};
constexpr float kLimit = 7;

// Random weights of one matrix, as the formats of activations read them.
struct RandomMatrix {
  std::vector<uint16_t> bf16, bias;
  std::vector<uint8_t> blocks, scales;
  Matrix matrix;

  RandomMatrix(Format format, bool mxfp4, size_t rows, size_t n_in, std::mt19937* random) : bias(rows) {
    // 0x3c00 to 0x3d7f with either sign: ordinary numbers.
    const auto number = [&] { return uint16_t(0x3c00 + (*random)() % 384 + ((*random)() % 2 << 15)); };
    for (uint16_t& value : bias) value = number();
    matrix = {.rows = rows, .n_in = n_in, .bias = bias.data()};
    if (!mxfp4) {
      bf16.resize(rows * n_in);
      for (uint16_t& value : bf16) value = number();
      matrix.bf16 = bf16.data();
      return;
    }
    std::vector<uint8_t> plain(rows * n_in / 2), plain_scales(rows * n_in / 32);
    for (uint8_t& byte : plain) byte = uint8_t((*random)());
    for (uint8_t& scale : plain_scales) scale = uint8_t(120 + (*random)() % 5);
    if (format == Format::i8) {
      blocks.resize(mxfp4_tile_rows(rows) * (n_in / 32) * kMxfp4TileBytes);
      scales.resize(mxfp4_tile_rows(rows) * (n_in / 32) * kMxfp4TileRows);
      pack_mxfp4(plain.data(), plain_scales.data(), rows, n_in / 32, 0, mxfp4_tile_rows(rows), blocks.data(),
                 scales.data());
      matrix.tiled = true;
    } else {
      blocks = plain;
      scales = plain_scales;
    }
    matrix.blocks = blocks.data();
    matrix.scales = scales.data();
  }
};

using Op = void (*Ops::*)(const MatmulArgs&);

Op op_of(Format format, bool mxfp4) {
  if (format == Format::i8) return &Ops::i8_mxfp4t_matmul;
  if (format == Format::bf16) return mxfp4 ? &Ops::bf16_mxfp4w_matmul : &Ops::bf16_bf16w_matmul;
  return mxfp4 ? &Ops::f32_mxfp4w_matmul : &Ops::f32_bf16w_matmul;
}

size_t row_bytes(Format format, size_t n) {
  return format == Format::i8 ? n / 32 * sizeof(I8Block) : format == Format::bf16 ? 2 * n : 4 * n;
}

// y (tokens, rows) by one call of the operation for each token.
std::vector<float> expected(const Ops& ops, const Activations& x, size_t first, size_t tokens, const RandomMatrix& weights) {
  const Matrix& matrix = weights.matrix;
  std::vector<float> y(tokens * matrix.rows);
  for (size_t token = 0; token < tokens; ++token) {
    (ops.*op_of(x.format(), matrix.blocks != nullptr))(
        {.x = x.row(first + token), .x_stride = x.stride(), .tokens = 1,
         .w = matrix.blocks ? static_cast<const void*>(matrix.blocks) : matrix.bf16, .w_scale = matrix.scales,
         .bias = matrix.bias, .n_in = matrix.n_in, .y = &y[token * matrix.rows], .y_stride = matrix.rows,
         .row_begin = 0, .row_end = matrix.rows});
  }
  return y;
}

Activations random_activations(const Ops& ops, Format format, size_t rows, size_t n, std::mt19937* random) {
  Activations x(format, rows, n);
  std::normal_distribution<float> normal;
  std::vector<float> row(n);
  for (size_t i = 0; i < rows; ++i) {
    for (float& value : row) value = normal(*random);
    x.encode(ops, i, row.data());
  }
  return x;
}

// Two tasks in one loop, as experts are: the products, and what SwiGLU makes of them.
void check_pieces(const Ops& ops, ThreadPool* pool, Format format, bool mxfp4, size_t tokens) {
  constexpr size_t kRows = 320, kIn = 96, kFirst = 3;
  std::mt19937 random(uint32_t(tokens) + 7);
  const Activations x = random_activations(ops, format, kFirst + tokens, kIn, &random);
  const RandomMatrix weights[] = {{format, mxfp4, kRows, kIn, &random}, {format, mxfp4, kRows, kIn, &random}};
  const size_t firsts[] = {kFirst, 0}, counts[] = {tokens, 2};
  Linear linears[2];
  std::vector<float> y[2], want[2];
  Activations activated[] = {Activations(format, kFirst + tokens, kRows / 2), Activations(format, 2, kRows / 2)};
  std::vector<MatmulTask> plain, fused;
  const SwigluInto into[] = {{&activated[0], kLimit}, {&activated[1], kLimit}};
  for (size_t i = 0; i < 2; ++i) {
    linears[i].parts[0] = weights[i].matrix;
    want[i] = expected(ops, x, firsts[i], counts[i], weights[i]);
    y[i].assign(counts[i] * (kRows + 1), -77.0f);
    plain.push_back({&linears[i], &x, firsts[i], counts[i], y[i].data(), kRows + 1});
    fused.push_back({&linears[i], &x, firsts[i], counts[i], nullptr, 0, &into[i]});
  }
  Matmul matmul(ops, pool);
  matmul.run(plain);
  matmul.run(fused);
  Activations row(format, 1, kRows / 2);
  std::vector<float> halves(kRows / 2);
  for (size_t i = 0; i < 2; ++i) {
    for (size_t token = 0; token < counts[i]; ++token) {
      const float *got = &y[i][token * (kRows + 1)], *right = &want[i][token * kRows];
      CHECK(std::memcmp(got, right, kRows * sizeof(float)) == 0);
      CHECK_EQ(got[kRows], -77.0f);
      ops.f32_swiglu(halves.data(), right, kRows / 2, kLimit);
      row.encode(ops, 0, halves.data());
      CHECK(std::memcmp(activated[i].row(firsts[i] + token), row.row(0), row_bytes(format, kRows / 2)) == 0);
    }
  }
}

// A matrix wider than bf16 is a sum of parts, the last of which may be a bias alone.
void check_parts(const Ops& ops, ThreadPool* pool, size_t tokens) {
  constexpr size_t kRows = 130, kIn = 33;
  std::mt19937 random(5);
  const Activations x = random_activations(ops, Format::f32, tokens, kIn, &random);
  const RandomMatrix first(Format::f32, false, kRows, kIn, &random), second(Format::f32, false, kRows, kIn, &random);
  Linear linear;
  linear.count = 3;
  linear.parts[0] = first.matrix;
  linear.parts[1] = second.matrix;
  linear.parts[2].bias = second.bias.data();
  std::vector<float> y(tokens * kRows);
  Activations activated(Format::f32, tokens, kRows / 2);
  const SwigluInto into{&activated, kLimit};
  const MatmulTask plain[] = {{&linear, &x, 0, tokens, y.data(), kRows}};
  const MatmulTask fused[] = {{&linear, &x, 0, tokens, nullptr, 0, &into}};
  Matmul matmul(ops, pool);
  matmul.run(plain);
  matmul.run(fused);
  const std::vector<float> a = expected(ops, x, 0, tokens, first), b = expected(ops, x, 0, tokens, second);
  std::vector<float> halves(kRows / 2);
  for (size_t token = 0; token < tokens; ++token) {
    for (size_t row = 0; row < kRows; ++row) {
      float bias;
      const uint32_t bits = uint32_t(second.bias[row]) << 16;
      std::memcpy(&bias, &bits, sizeof bias);
      const float right = a[token * kRows + row] + b[token * kRows + row] + bias;
      CHECK(std::abs(y[token * kRows + row] - right) < 1e-4f);
    }
    ops.f32_swiglu(halves.data(), &y[token * kRows], kRows / 2, kLimit);
    CHECK(std::memcmp(activated.row(token), halves.data(), kRows / 2 * sizeof(float)) == 0);
  }
}

}  // namespace

int main() {
  for (const Isa isa : kIsas) {
    const Ops* ops = select_ops(isa);
    if (!ops) continue;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      for (const size_t tokens : {1, 7, 61, 73, 150, 300}) {
        check_pieces(*ops, &pool, Format::i8, true, tokens);
        for (const bool mxfp4 : {false, true}) {
          check_pieces(*ops, &pool, Format::bf16, mxfp4, tokens);
          check_pieces(*ops, &pool, Format::f32, mxfp4, tokens);
        }
        check_parts(*ops, &pool, tokens);
      }
    }
  }
  return check_result();
}
