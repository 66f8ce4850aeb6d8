// The screened head against the whole one: what the sampler chooses, and every logit that it is given, bit for bit; on heads
// made to mislead a screen that is surer of itself than it may be.
#include "screened_head.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

#include "check.h"
#include "sampler.h"

using namespace switchyard;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

uint16_t bf16(const Ops& ops, float value) {
  uint16_t half;
  ops.f32_to_bf16(&half, &value, 1);
  return half;
}

// A head and activations of some tokens.
struct Case {
  const char* name;
  size_t rows, n, tokens;
  std::vector<float> weights, x;
};

Case random_case(const char* name, size_t rows, size_t n, size_t tokens, float spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  Case made{name, rows, n, tokens, std::vector<float>(rows * n), std::vector<float>(tokens * n)};
  for (float& w : made.weights) w = normal(random) * 0.02f * spread;
  for (float& x : made.x) x = normal(random);
  return made;
}

class Heads {
 public:
  Heads(const Case& made, const Ops& ops, ThreadPool* pool)
      : ops_(ops), rows_(made.rows), tokens_(made.tokens), weights_(made.weights.size()),
        x_(Format::bf16, made.tokens, made.n), whole_(made.tokens * made.rows) {
    for (size_t i = 0; i < weights_.size(); ++i) weights_[i] = bf16(ops, made.weights[i]);
    linear_.parts[0] = {.rows = made.rows, .n_in = made.n, .bf16 = weights_.data()};
    for (size_t t = 0; t < made.tokens; ++t) x_.encode(ops, t, &made.x[t * made.n]);
    Matmul matmul(ops, pool);
    const MatmulTask task[] = {{&linear_, &x_, 0, made.tokens, whole_.data(), made.rows}};
    matmul.run(task);
    if (CHECK_OK(HeadCopy::create(linear_, ops, pool, &copy_)))
      screened_ = std::make_unique<ScreenedHead>(*copy_, linear_, ops, pool);
  }

  // Every token with these parameters; false where the screen gave up.
  bool check(const char* name, const std::vector<SamplingParams>& params, const std::vector<int32_t>& never = {},
             const std::unordered_map<int32_t, int>& counts = {}) {
    std::vector<LogitNeed> needs(tokens_);
    std::vector<const LogitNeed*> pointers;
    const auto input = [&](size_t t) { return Sampler::Input{&params[t % params.size()], never, &counts, 1000 + t}; };
    for (size_t t = 0; t < tokens_; ++t) pointers.push_back(&(needs[t] = Sampler::need(input(t))));
    CHECK(ScreenedHead::suits(pointers));
    std::vector<float> logits(tokens_ * rows_);
    if (!screened_->run(x_, pointers, logits.data())) return false;
    Sampler sampler(ops_, rows_);
    for (size_t t = 0; t < tokens_; ++t) {
      std::vector<float> whole(whole_.begin() + ptrdiff_t(t * rows_), whole_.begin() + ptrdiff_t((t + 1) * rows_));
      size_t wrong = 0;
      for (size_t row = 0; row < rows_; ++row) {
        const float got = logits[t * rows_ + row];
        given_ += got != -kInfinity;
        wrong += got != -kInfinity && std::memcmp(&got, &whole[row], sizeof got) != 0;
      }
      if (wrong) check_failed(__FILE__, __LINE__, std::string(name) + ": " + std::to_string(wrong) + " logits differ");
      int32_t expected = -1, got = -1;
      const Status a = sampler.sample(input(t), whole.data(), &expected, nullptr);
      const Status b = sampler.sample(input(t), &logits[t * rows_], &got, nullptr);
      CHECK(a.code == b.code);
      if (expected != got) {
        check_failed(__FILE__, __LINE__, std::string(name) + " on " + ops_.name + ", token " + std::to_string(t) + ": " +
                                             std::to_string(got) + " in place of " + std::to_string(expected));
      }
    }
    return true;
  }

  const std::vector<float>& whole() const { return whole_; }
  size_t given() const { return given_; }
  ScreenedHead& screened() { return *screened_; }

 private:
  const Ops& ops_;
  size_t rows_, tokens_;
  std::vector<uint16_t> weights_;
  Linear linear_;
  Activations x_;
  std::vector<float> whole_;
  std::unique_ptr<HeadCopy> copy_;
  std::unique_ptr<ScreenedHead> screened_;
  size_t given_ = 0;
};

const std::vector<SamplingParams> kParams = {
    {.temperature = 0},
    {.temperature = 1, .seed = 5},
    {.temperature = 0.3f, .seed = 6},
    {.temperature = 40, .seed = 7},
    {.temperature = 1, .top_k = 1},
    {.temperature = 1.5f, .top_k = 40, .seed = 8},
    {.temperature = 0.8f, .top_p = 0.9f, .top_k = 20, .min_p = 0.05f, .seed = 9},
    {.temperature = 1, .min_p = 0.1f, .seed = 10},
    {.temperature = 0.01f, .min_p = 1, .seed = 11},
    {.temperature = 1e-30f, .top_k = 3, .seed = 12},
};

void check_all(const Case& made, const Ops& ops, ThreadPool* pool) {
  Heads heads(made, ops, pool);
  for (const SamplingParams& params : kParams) heads.check(made.name, {params});
  heads.check(made.name, kParams);  // a batch of unlike requests
  // The best ids masked, biased and penalised.
  std::vector<int32_t> order(made.rows);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return heads.whole()[size_t(a)] > heads.whole()[size_t(b)]; });
  const std::vector<int32_t> never(order.begin(), order.begin() + ptrdiff_t(std::min<size_t>(3, made.rows / 2)));
  std::unordered_map<int32_t, int> counts;
  for (size_t i = 0; i < std::min<size_t>(made.rows, 9); i += 2) counts[order[i]] = int(i) + 1;
  for (SamplingParams params : kParams) {
    params.logit_bias = {{order[made.rows / 2], 0.5f}, {order.back(), 100.0f}};
    heads.check(made.name, {params}, never, counts);
    params.logit_bias = {{order[0], -2.0f}, {order[made.rows - 1], -100.0f}};
    params.frequency_penalty = 0.4f;
    params.repetition_penalty = 1.3f;
    heads.check(made.name, {params}, never, counts);
  }
}

// Rows that are nearly one: the screen cannot tell them apart, the real weights can.
Case near_ties() {
  Case made = random_case("near ties", 700, 192, 2, 1, 3);
  std::mt19937 random(4);
  for (size_t row = 1; row < made.rows; ++row) {
    for (size_t i = 0; i < made.n; ++i) made.weights[row * made.n + i] = made.weights[i];
    made.weights[row * made.n + random() % made.n] *= 1 + 0.01f * float(random() % 5);  // some stay equal: real ties
  }
  return made;
}

// The int8 copy sees row `low` far too small and row `high` far too large: all that it rounds off points along x, or
// against it. The true order is the reverse of the screened one, by nearly the whole bound.
Case misleading(float lead) {
  constexpr size_t kRows = 300, kN = 256;
  Case made = random_case("misleading", kRows, kN, 1, 0.1f, 5);
  std::mt19937 random(6);
  for (size_t i = 0; i < kN; ++i) made.x[i] = random() % 2 ? 1.0f : -1.0f;
  const size_t low = 17, high = 200;
  for (size_t i = 0; i < kN; ++i) {
    const float sign = made.x[i];
    made.weights[low * kN + i] = i == 0 ? 127 * sign : (20.453125f + lead) * sign;  // 20 in the copy
    made.weights[high * kN + i] = i == 0 ? 127 * sign : 20.546875f * sign;          // 21 in the copy
  }
  for (float& w : made.weights) w /= 64;
  // `low` wins by the first weight alone.
  made.weights[low * kN] = 127.0f / 64 * made.x[0];
  made.weights[high * kN] = -127.0f / 64 * made.x[0];
  return made;
}

// The same by the activations: beside a giant all others round to nothing, and together they win.
Case lost_activations() {
  constexpr size_t kRows = 300, kN = 640;
  Case made = random_case("lost activations", kRows, kN, 1, 0.1f, 15);
  for (size_t i = 0; i < kN; ++i) {
    made.x[i] = i == 0 ? 32640 : 0.5f;
    made.weights[17 * kN + i] = i == 0 ? 0 : 127;
    made.weights[200 * kN + i] = i == 0 ? 1 : i == 1 ? 127 : 0;
  }
  return made;
}

// The activations' rounding along the weights of one row and against those of another: the copy has both rows exactly, and
// the screened order is the reverse of the true one by nearly the whole bound. With `giant`, which stands out, one block
// has 16 bits.
Case misleading_activations(size_t tokens, float giant) {
  constexpr size_t kRows = 400, kN = 832;
  Case made = random_case("misleading activations", kRows, kN, tokens, 0.05f, 16);
  std::mt19937 random(17);
  const size_t low = 17, high = 200;
  for (size_t i = 0, k = 0; i < kN; ++i) {
    const float sign = random() % 2 ? 1.0f : -1.0f;
    float weight = sign, opposite = -sign, x;
    if (i % 64 == 0) {  // of each block: they make the step between integers 1, and all other rows lose
      weight = opposite = 0.25f;
      x = giant > 0 ? 85.0f : 127.0f;
    } else if (i == 70 && giant > 0) {
      weight = opposite = 0;
      x = giant;
    } else {
      // The integers, 23 or -23, say that `low` is behind by 13 of them, 299; what they leave that it is ahead by 307.
      x = sign * ((k % 2 == 0 || k < 12 ? -23.0f : 23.0f) + 0.375f);
      ++k;
    }
    made.weights[low * kN + i] = weight;
    made.weights[high * kN + i] = opposite;
    for (size_t t = 0; t < tokens; ++t) made.x[t * kN + i] = x * float(1 << t % 5);
  }
  return made;
}

// Batches as large as a screen takes, and activations that stand out in as many places as it has room for, and in more.
void test_batches(const Ops& ops, ThreadPool* pool) {
  for (const size_t tokens : {9, 16, 17, 32}) {
    const std::vector<SamplingParams> params = {{.temperature = 0}, {.temperature = 1, .seed = 5}, {.temperature = 0.3f, .top_k = 2}};
    CHECK(Heads(random_case("batch", 20000, 192, tokens, 1, uint32_t(20 + tokens)), ops, pool).check("batch", params));
    CHECK(Heads(misleading_activations(tokens, 0), ops, pool).check("misleading activations", params));
  }
  for (const size_t giants : {1, 5, 6, 7, 13, 45}) {
    Case made = random_case("giants", 2500, 2880, 3, 1, uint32_t(30 + giants));
    for (size_t t = 0; t < made.tokens; ++t) {
      for (size_t i = 0; i < giants; ++i) made.x[t * made.n + (i * 7 + t) % 45 * 64 + i] *= 60 + 40 * float(i);
    }
    check_all(made, ops, pool);
  }
}

void test_shapes(const Ops& ops, ThreadPool* pool) {
  for (const auto& [rows, n, tokens] : {std::tuple{5000, 64, 1}, {4099, 96, 3}, {1003, 2880, 2}, {64, 33, 8}, {17, 100, 1},
                                        {4, 64, 5}, {1, 31, 1}})
    check_all(random_case("random", size_t(rows), size_t(n), size_t(tokens), 1, uint32_t(rows + n)), ops, pool);
}

void test_hard_cases(const Ops& ops, ThreadPool* pool) {
  check_all(near_ties(), ops, pool);
  for (const float lead : {0.0f, 0.0625f}) check_all(misleading(lead), ops, pool);
  check_all(lost_activations(), ops, pool);
  for (const float giant : {0.0f, 191.0f, 30000.0f}) check_all(misleading_activations(3, giant), ops, pool);
  Case all_equal = random_case("all equal", 900, 64, 1, 1, 7);
  for (size_t i = 64; i < all_equal.weights.size(); ++i) all_equal.weights[i] = all_equal.weights[i % 64];
  check_all(all_equal, ops, pool);
  Case zeros = random_case("zero rows", 500, 64, 1, 1, 8);
  std::fill(zeros.weights.begin() + 64 * 10, zeros.weights.end(), 0.0f);
  check_all(zeros, ops, pool);
  Case norms = random_case("norms from 1e-30 to 1e10", 2000, 64, 2, 1, 9);
  for (size_t row = 0; row < norms.rows; ++row) {
    const float size = std::pow(10.0f, float(row % 41) - 30);
    for (size_t i = 0; i < norms.n; ++i) norms.weights[row * norms.n + i] *= size;
  }
  check_all(norms, ops, pool);
  Case outliers = random_case("a few giant activations", 3000, 2880, 2, 1, 10);
  for (size_t i = 0; i < outliers.x.size(); i += 577) outliers.x[i] *= 300;
  check_all(outliers, ops, pool);
  for (const float size : {1e-24f, 1e-10f, 1e15f}) {
    Case scaled = random_case("scaled activations", 1000, 64, 1, 1, 11);
    for (float& x : scaled.x) x *= size;
    check_all(scaled, ops, pool);
  }
}

// It must screen, not merely be right: of 20,000 rows few are computed, whatever the request.
void test_it_screens(const Ops& ops, ThreadPool* pool) {
  const Case made = random_case("screens", 20000, 576, 1, 1, 12);
  Heads heads(made, ops, pool);
  const size_t copy = made.rows * (made.n + 12), whole = made.rows * made.n * 2;
  for (const SamplingParams& params : std::vector<SamplingParams>{{.temperature = 0}, {.temperature = 1}, {.top_k = 40}}) {
    const uint64_t before = heads.screened().bytes_read();
    CHECK(heads.check(made.name, {params}));
    CHECK(heads.screened().bytes_read() - before < copy + whole / 20);
  }
  CHECK(heads.given() >= 3 && heads.given() < 3000);
}

// A few activations that stand out, as real models have them, do not cost the others their precision.
void test_it_screens_outliers(const Ops& ops, ThreadPool* pool) {
  Case made = random_case("outliers", 20000, 2880, 2, 1, 18);
  for (size_t i = 0; i < made.x.size(); i += 577) made.x[i] *= 100;
  Heads heads(made, ops, pool);
  CHECK(heads.check(made.name, {{.temperature = 0}}));
  CHECK(heads.given() < 1500);
}

void test_it_gives_up(const Ops& ops, ThreadPool* pool) {
  for (const float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN(), 0.0f, 1e-30f, 1e35f}) {
    Case made = random_case("bad activations", 300, 64, 1, 1, 13);
    for (float& x : made.x) x = bad == 1e35f ? x * bad : std::fabs(bad) < 1 ? bad : x;
    if (!(std::fabs(bad) < 1) && bad != 1e35f) made.x[5] = bad;
    Heads heads(made, ops, pool);
    CHECK(!heads.check(made.name, {{.temperature = 0}}));
  }
  // So many could win that reading all of them is quicker.
  Case flat = random_case("flat", 40000, 64, 1, 1, 14);
  for (size_t i = 64; i < flat.weights.size(); ++i) flat.weights[i] = flat.weights[i % 64];
  Heads heads(flat, ops, pool);
  CHECK(!heads.check("flat", {{.temperature = 0}}));
  CHECK(heads.check("flat", {{.temperature = 1}}));  // the noise tells them apart
}

void test_needs() {
  const std::unordered_map<int32_t, int> counts = {{3, 1}, {5, 2}};
  const std::vector<int32_t> never = {9};
  const auto need = [&](const SamplingParams& params) { return Sampler::need({&params, never, &counts, 0}); };
  CHECK(!need({.temperature = 0}).all);
  CHECK(!need({}).all && need({}).noisy);
  CHECK(need({.top_p = 0.9f}).all);                     // a share of the mass of all
  CHECK(need({.top_logprobs = 0}).all);                 // the same
  CHECK(need({.temperature = 1e-3f}).all);              // beyond what the proof's f32 holds for
  CHECK(need({.top_k = 100000}).all);
  CHECK(!need({.top_p = 0.9f, .top_k = 50}).all);
  CHECK(!need({.top_p = 0.9f, .min_p = 0.1f}).all);
  CHECK(need({.min_p = 0.1f}).reach > 2.3);
  CHECK_EQ(need({.temperature = 0, .logit_bias = {{4, 1.0f}}}).changed.size(), size_t(1));
  CHECK_EQ(need({.temperature = 0, .presence_penalty = 1}).changed.size(), size_t(2));
  CHECK_EQ(need({.temperature = 0}).masked.size(), size_t(1));
}

void test_refusals(const Ops& ops, ThreadPool* pool) {
  std::vector<uint16_t> weights(64, bf16(ops, 1.0f));
  weights[40] = 0x7f80;  // infinity
  Linear head;
  head.parts[0] = {.rows = 2, .n_in = 32, .bf16 = weights.data()};
  std::unique_ptr<HeadCopy> copy;
  CHECK(HeadCopy::create(head, ops, pool, &copy).code == Code::unsupported);
  weights[40] = 0;
  head.count = 2;  // stored wider than bf16
  CHECK(HeadCopy::create(head, ops, pool, &copy).code == Code::unsupported);
  head.count = 1;
  CHECK_OK(HeadCopy::create(head, ops, pool, &copy));
}

}  // namespace

int main() {
  ThreadPool pool(3);
  test_needs();
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::neon}) {
    const Ops* ops = select_ops(isa);
    if (!ops) continue;
    test_shapes(*ops, &pool);
    test_hard_cases(*ops, &pool);
    test_batches(*ops, &pool);
    test_it_screens(*ops, &pool);
    test_it_screens_outliers(*ops, &pool);
    test_it_gives_up(*ops, &pool);
    test_refusals(*ops, &pool);
  }
  return check_result();
}
