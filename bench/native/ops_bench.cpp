// Speed of the matrix products and of attention on one thread: decode (one token, weights or the cache streamed from memory)
// in GB/s beside a plain read of the same bytes, prefill (64 tokens) in GFLOP/s; weights streamed for a few tokens, as in batched decoding; then
// the sampler, microseconds for each token of a vocabulary of 201,088. A quick look at kernels; `switchyard bench` measures the engine.
//   ops_bench [scalar|avx2|avx512|neon] [rows] [n_in]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cmath>
#include <ctime>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "ops/ops.h"
#include "sampler.h"
#include "resident.h"

using namespace switchyard;

namespace {

struct Case {
  const char* name;
  void (*Ops::*run)(const MatmulArgs&);
  size_t x_bytes;  // of an element; 0: I8Block
  bool mxfp4;
};

constexpr Case kCases[] = {
    {"f32_bf16w", &Ops::f32_bf16w_matmul, 4, false},     {"bf16_bf16w", &Ops::bf16_bf16w_matmul, 2, false},
    {"f32_mxfp4w", &Ops::f32_mxfp4w_matmul, 4, true},    {"bf16_mxfp4w", &Ops::bf16_mxfp4w_matmul, 2, true},
    {"i8_mxfp4t", &Ops::i8_mxfp4t_matmul, 0, true},
};

constexpr size_t kPrefill = 64;
constexpr size_t kStreamed = size_t{192} << 20;  // bytes of weights in a decode round: more than the caches hold

// CPU time of this thread: other work on the machine takes its turn, but not these seconds.
double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <typename Work>
double best_seconds(const Work& work) {
  double best = 1e9;
  for (int i = 0; i < 8; i++) {
    const double start = now();
    work();
    const double elapsed = now() - start;
    if (elapsed < best) best = elapsed;
  }
  return best;
}

uint64_t read_all(const uint8_t* data, size_t bytes) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 64 <= bytes; i += 64) {
    uint64_t line[8];
    std::memcpy(line, data + i, sizeof line);
    for (size_t j = 0; j < 8; j++) sums[j] += line[j];
  }
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  return total;
}

// Matrices of one shape, more of them than the caches hold, and what they are multiplied with.
struct Product {
  Product(const Case& product, size_t row_count, size_t n)
      : of(product), rows(row_count), n_in(n), matrices(kStreamed / matrix_bytes() + 1), w(matrices * w_bytes(), 0x3c),
        scales(matrices * scale_bytes(), 120), x(kPrefill * x_stride() * x_bytes(), 0x3c), y(kPrefill * rows) {}

  size_t w_bytes() const { return of.mxfp4 ? rows * n_in / 2 : rows * n_in * 2; }
  size_t scale_bytes() const { return of.mxfp4 ? rows * (n_in / 32) : 0; }
  size_t matrix_bytes() const { return w_bytes() + scale_bytes(); }
  size_t x_stride() const { return of.x_bytes ? n_in : n_in / 32; }
  size_t x_bytes() const { return of.x_bytes ? of.x_bytes : sizeof(I8Block); }
  double streamed_bytes() const { return static_cast<double>(matrices * matrix_bytes()); }

  void multiply(const Ops& ops, size_t matrix, size_t tokens) {
    (ops.*of.run)({.x = x.data(), .x_stride = x_stride(), .tokens = tokens,
                   .w = w.data() + matrix * w_bytes(), .w_scale = scales.data() + matrix * scale_bytes(), .bias = nullptr,
                   .n_in = n_in, .y = y.data(), .y_stride = rows, .row_begin = 0, .row_end = rows});
  }
  void stream(const Ops& ops, size_t tokens) {
    for (size_t matrix = 0; matrix < matrices; matrix++) multiply(ops, matrix, tokens);
  }

  const Case& of;
  const size_t rows, n_in, matrices;
  std::vector<uint8_t> w, scales, x;  // 0x3c: small ordinary numbers in all formats
  std::vector<float> y;
};

// GB/s of weights that serve a few tokens: a step down from one number to the next is a hole between two kernels.
void bench_few_tokens(const Ops& ops, size_t rows, size_t n_in) {
  constexpr size_t kTokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 32};
  std::printf("\n%-12s", "GB/s, tokens");
  for (size_t tokens : kTokens) std::printf("%6zu", tokens);
  for (const Case& c : kCases) {
    if (c.run != &Ops::bf16_bf16w_matmul && c.run != &Ops::i8_mxfp4t_matmul) continue;
    Product product(c, rows, n_in);
    std::printf("\n%-12s", c.name);
    for (size_t tokens : kTokens) {
      const double seconds = best_seconds([&] { product.stream(ops, tokens); });
      std::printf("%6.1f", product.streamed_bytes() / seconds / 1e9);
    }
  }
  std::printf("\n");
}

// Logits as wide as a model's, with a peak of some dozen ids; `copy` is what every sampler has to do before it changes them.
void bench_sampler(const Ops& ops) {
  constexpr size_t kVocabulary = 201088;
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> logits(kVocabulary), scratch(kVocabulary);
  for (float& logit : logits) logit = normal(random);
  for (size_t i = 0; i < 40; i++) logits[random() % kVocabulary] = 18 - 0.25f * static_cast<float>(i);
  const std::unordered_map<int32_t, int> none;
  struct {
    const char* name;
    SamplingParams params;
  } const requests[] = {
      {"greedy", {.temperature = 0}},
      {"temperature 1", {}},
      {"top_p 0.9", {.top_p = 0.9f}},
      {"top_k 40", {.top_k = 40}},
      {"top_k 40, top_p 0.9", {.top_p = 0.9f, .top_k = 40}},
      {"min_p 0.05", {.min_p = 0.05f}},
      {"temperature 2, top_p 0.95", {.temperature = 2, .top_p = 0.95f}},
      {"temperature 1, top_logprobs 20", {.top_logprobs = 20}},
  };
  Sampler sampler(ops, kVocabulary);
  std::printf("\n%-32s %12s\n", "sampler", "us");
  const double copy = best_seconds([&] { std::memcpy(scratch.data(), logits.data(), kVocabulary * sizeof(float)); });
  for (const auto& request : requests) {
    TokenLogprob logprob;
    int32_t token = 0;
    uint64_t position = 0;
    const double seconds = best_seconds([&] {
      std::memcpy(scratch.data(), logits.data(), kVocabulary * sizeof(float));
      if (!sampler.sample({&request.params, {}, &none, position++}, scratch.data(), &token, &logprob).ok()) std::abort();
    });
    std::printf("%-32s %12.0f\n", request.name, (seconds - copy) * 1e6);
  }
}

// One layer of 20b: 8 key/value heads, 8 query heads each, 16,384 positions in blocks that lie in any order.
void bench_attention(const Ops& ops, const char* name, void (*sdpa)(const SdpaArgs&), size_t element_bytes) {
  constexpr size_t kHeads = 8, kGroup = 8, kDim = 64, kPositions = 16384, kBlocks = kPositions / kKvTile;
  const size_t tile_bytes = kKvTile * kDim * element_bytes, block_bytes = 2 * kHeads * tile_bytes;
  const size_t layers = kStreamed / (kBlocks * block_bytes) + 1;
  const size_t bytes = layers * kBlocks * block_bytes;
  HugeMemory cache;
  if (!cache.allocate(bytes).ok()) return;
  std::memset(cache.data(), 0x3c, bytes);
  std::vector<float> q(kGroup * kDim, 0.1f), scratch(sdpa_scratch(kGroup, kDim)), out(2 * kGroup * (kDim + 2));
  const auto part = [&](size_t i) {
    float* at = out.data() + i * kGroup * (kDim + 2);
    return SdpaPart{at, at + kGroup, at + 2 * kGroup};
  };
  const auto attend = [&](size_t layer, size_t head, size_t span) {
    constexpr size_t kTiles = kSdpaSpan / kKvTile;
    const void *keys[kTiles], *values[kTiles], *next[kSdpaAhead];
    const auto keys_at = [&](size_t tile) {
      const size_t block = tile * 5 % kBlocks;  // a permutation: kBlocks is a power of 2
      return cache.data() + (layer * kBlocks + block) * block_bytes + head * tile_bytes;
    };
    for (size_t i = 0; i < kTiles; i++) {
      keys[i] = keys_at(span * kTiles + i);
      values[i] = keys_at(span * kTiles + i) + block_bytes / 2;
    }
    for (size_t i = 0; i < kSdpaAhead; i++) next[i] = keys_at((span + 1) * kTiles + i);
    sdpa({.q = q.data(), .group = kGroup, .head_dim = kDim, .k_tiles = keys, .v_tiles = values, .begin = 0,
          .end = kSdpaSpan, .next_tiles = next, .next_count = kSdpaAhead, .scale = 0.125f, .scratch = scratch.data(),
          .out = part(span > 0)});
    if (span > 0) ops.f32_sdpa_merge(part(0), part(1), kGroup, kDim);
  };
  volatile uint64_t sink = 0;
  const double read = best_seconds([&] { sink = sink + read_all(cache.data(), bytes); });
  const double decode = best_seconds([&] {
    for (size_t layer = 0; layer < layers; layer++)
      for (size_t head = 0; head < kHeads; head++)
        for (size_t span = 0; span < kPositions / kSdpaSpan; span++) attend(layer, head, span);
  });
  const double prefill = best_seconds([&] {
    for (size_t t = 0; t < kPrefill; t++) attend(0, 0, 0);
  });
  const double size = static_cast<double>(bytes), products = kPrefill * kSdpaSpan * kGroup * kDim * 2;
  std::printf("%-12s %12.1f %12.1f %16.1f\n", name, size / read / 1e9, size / decode / 1e9, 2 * products / prefill / 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) setenv("SWITCHYARD_ISA", argv[1], 1);
  const Ops* ops = select_ops(Isa::automatic);
  const size_t rows = argc > 2 ? std::strtoull(argv[2], nullptr, 10) / 16 * 16 : 2880;
  const size_t n_in = argc > 3 ? std::strtoull(argv[3], nullptr, 10) / 32 * 32 : 2880;
  if (!ops || rows == 0 || n_in == 0) {
    std::fprintf(stderr, "usage: ops_bench [scalar|avx2|avx512|neon, as far as this CPU has it] [rows] [n_in]\n");
    return 2;
  }
  std::printf("%s, %zu x %zu, one thread\n%-12s %12s %12s %16s\n", ops->name, rows, n_in, "product", "read GB/s",
              "decode GB/s", "prefill GFLOP/s");
  volatile uint64_t sink = 0;
  for (const Case& c : kCases) {
    Product product(c, rows, n_in);
    const double read = best_seconds([&] { sink = sink + read_all(product.w.data(), product.w.size()); });
    const double decode = best_seconds([&] { product.stream(*ops, 1); });
    const double prefill = best_seconds([&] { product.multiply(*ops, 0, kPrefill); });
    std::printf("%-12s %12.1f %12.1f %16.1f\n", c.name, static_cast<double>(product.w.size()) / read / 1e9,
                product.streamed_bytes() / decode / 1e9,
                2.0 * static_cast<double>(rows * n_in * kPrefill) / prefill / 1e9);
  }
  bench_attention(*ops, "f32kv_sdpa", ops->f32kv_sdpa, 4);
  bench_attention(*ops, "bf16kv_sdpa", ops->bf16kv_sdpa, 2);
  bench_few_tokens(*ops, rows, n_in);
  bench_sampler(*ops);
  return 0;
}
