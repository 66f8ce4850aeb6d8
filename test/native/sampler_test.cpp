// The sampler: every filter against a slow and obvious version, distributions against their expectation, and that the
// draw depends on nothing but seed and position.
#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "check.h"

using namespace switchyard;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::unordered_map<int32_t, int> kNoCounts;

struct Drawn {
  int32_t token = -1;
  TokenLogprob logprob;
  Status status;
};

Drawn sample(const SamplingParams& params, std::vector<float> logits, uint64_t position = 0,
             const std::unordered_map<int32_t, int>& counts = kNoCounts, const std::vector<int32_t>& never = {}) {
  Sampler sampler(*ops_scalar(), logits.size());
  Drawn drawn;
  drawn.status = sampler.sample({&params, never, &counts, position}, logits.data(), &drawn.token, &drawn.logprob);
  return drawn;
}

std::vector<float> random_logits(size_t n, uint32_t seed, float scale = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// The tokens that may be drawn, with their probabilities, by sorting everything.
std::map<int32_t, double> expected(const SamplingParams& params, const std::vector<float>& logits) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[size_t(a)] > logits[size_t(b)]; });
  std::vector<std::pair<int32_t, double>> kept;
  for (const int32_t id : order) {
    const double weight =
        std::exp((double(logits[size_t(id)]) - double(logits[size_t(order[0])])) / params.temperature);
    if (weight >= params.min_p && weight > 0) kept.emplace_back(id, weight);
  }
  if (params.top_k > 0 && kept.size() > size_t(params.top_k)) kept.resize(size_t(params.top_k));
  double total = 0;
  for (const auto& [id, weight] : kept) total += weight;
  if (params.top_p < 1) {
    double mass = 0;
    size_t count = 0;
    while (count < kept.size() && (count == 0 || mass < params.top_p * total)) mass += kept[count++].second;
    kept.resize(count);
    total = mass;
  }
  std::map<int32_t, double> probabilities;
  for (const auto& [id, weight] : kept) probabilities[id] = weight / total;
  return probabilities;
}

void check_distribution(const SamplingParams& base, const std::vector<float>& logits, int draws) {
  SamplingParams params = base;
  params.seed = 12345;
  const auto wanted = expected(params, logits);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) counts[sample(params, logits, uint64_t(i)).token]++;
  for (const auto& [id, count] : counts) CHECK(wanted.contains(id));
  double chi_squared = 0;
  for (const auto& [id, probability] : wanted) {
    const double mean = probability * draws, difference = counts[id] - mean;
    chi_squared += difference * difference / mean;
  }
  // Mean: degrees of freedom; five standard deviations above it. The seed is fixed: this cannot flicker.
  const double freedom = std::max<double>(1, double(wanted.size()) - 1);
  CHECK(chi_squared < freedom + 5 * std::sqrt(2 * freedom) + 5);
}

void test_greedy_and_changes() {
  SamplingParams params;
  params.temperature = 0;
  CHECK_EQ(sample(params, {1, 5, 3}).token, 1);
  CHECK_EQ(sample(params, {7, 5, 7}).token, 0);  // ties: the lower id
  CHECK_EQ(sample(params, {1, 5, 3}, 0, kNoCounts, {1}).token, 2);
  params.logit_bias = {{0, 10}, {1, -100}};
  CHECK_EQ(sample(params, {1, 5, 3}).token, 0);
  params = {};
  params.temperature = 0;
  params.frequency_penalty = 1;
  CHECK_EQ(sample(params, {1, 5, 3}, 0, {{1, 1}}).token, 1);  // 4 against 3
  CHECK_EQ(sample(params, {1, 5, 3}, 0, {{1, 3}}).token, 2);  // 2 against 3
  params.frequency_penalty = 0;
  params.presence_penalty = 2.5f;
  CHECK_EQ(sample(params, {1, 5, 3}, 0, {{1, 1}}).token, 2);
  params.presence_penalty = 0;
  params.repetition_penalty = 2;
  CHECK_EQ(sample(params, {1, 5, 3}, 0, {{1, 1}}).token, 2);        // 2.5 against 3
  CHECK_EQ(sample(params, {-1, -3, -2}, 0, {{0, 1}}).token, 0);     // -2 against -2: the lower id
  CHECK_EQ(sample(params, {-1.5f, -3, -2}, 0, {{0, 1}}).token, 2);  // -3 against -2
}

void test_filters() {
  const auto logits = random_logits(50, 1);
  SamplingParams params;
  check_distribution(params, logits, 20000);
  params.temperature = 0.5f;
  check_distribution(params, logits, 20000);
  params.temperature = 2;
  check_distribution(params, logits, 20000);
  params.top_k = 5;
  check_distribution(params, logits, 5000);
  params.top_k = 0;
  params.top_p = 0.7f;
  check_distribution(params, logits, 5000);
  params.top_p = 1;
  params.min_p = 0.2f;
  check_distribution(params, logits, 5000);
  params = {.temperature = 1.3f, .top_p = 0.9f, .top_k = 20, .min_p = 0.01f};
  check_distribution(params, logits, 5000);
  params = {.top_p = 0};
  CHECK_EQ(sample(params, {1, 5, 3}).token, 1);
  params = {.top_k = 1};
  CHECK_EQ(sample(params, {5, 5, 3}).token, 0);  // of equals the lower ids stay
  params = {.min_p = 1};
  CHECK_EQ(sample(params, {1, 5, 3}).token, 1);
  params = {.temperature = 1e-30f};
  CHECK_EQ(sample(params, {1, 5, 3}).token, 1);
}

// One end has the share of all, whatever else is asked for.
void test_ends() {
  const std::vector<int32_t> ends = {30, 7, 41};
  auto logits = random_logits(50, 6);
  for (const int32_t id : ends) logits[size_t(id)] += 3;
  int drawn = 0, draws = 0;
  for (const bool impossible : {false, true}) {
    if (impossible) logits[30] = logits[41] = -kInfinity;
    for (const SamplingParams& base : {SamplingParams{.temperature = 0}, SamplingParams{}, SamplingParams{.top_p = 0.8f},
                                       SamplingParams{.top_k = 4}, SamplingParams{.logit_bias = {{7, 2.0f}}}}) {
      auto folded = logits;
      double share = 0;
      for (const int32_t id : ends) share += std::exp(double(logits[size_t(id)]) + (id == 7 && !base.logit_bias.empty() ? 2 : 0));
      folded[30] = float(std::log(share));
      folded[7] = folded[41] = -kInfinity;
      for (uint64_t position = 0; position < 300; ++position) {
        SamplingParams params = base;
        params.seed = 2;
        Sampler sampler(*ops_scalar(), logits.size());
        auto given = logits;
        int32_t token = -1;
        CHECK_OK(sampler.sample({&params, {}, &kNoCounts, position, nullptr, ends}, given.data(), &token, nullptr));
        params.logit_bias.clear();
        CHECK_EQ(token, sample(params, folded, position).token);
        drawn += token == 30, ++draws;
      }
    }
  }
  CHECK(drawn > draws / 10 && drawn < draws);
}

// Sets of survivors on shapes that break selection: ties everywhere, one giant, all equal, many -infinity.
void test_survivors_on_hard_shapes() {
  std::vector<std::vector<float>> shapes = {std::vector<float>(40, 1.0f), random_logits(1000, 7, 0.1f),
                                            random_logits(1000, 8, 10)};
  shapes.push_back({0, 0, 0, 20});
  shapes.push_back({-kInfinity, 1, -kInfinity, 1, 1, 0, 0});
  std::vector<float> stairs;
  for (int i = 0; i < 60; ++i) stairs.push_back(float(i / 10));
  shapes.push_back(stairs);
  for (const auto& logits : shapes) {
    for (const int top_k : {0, 1, 3, 15, 39}) {
      for (const float top_p : {1.0f, 0.99f, 0.5f, 0.1f}) {
        SamplingParams params{.top_p = top_p, .top_k = top_k, .seed = 3};
        const auto wanted = expected(params, logits);
        std::set<int32_t> drawn;
        for (uint64_t position = 0; position < 400; ++position) drawn.insert(sample(params, logits, position).token);
        for (const int32_t id : drawn) CHECK(wanted.contains(id));
        if (wanted.size() <= 10) {
          for (const auto& [id, probability] : wanted) CHECK(probability < 0.05 || drawn.contains(id));
        }
      }
    }
  }
}

void test_full_vocabulary() {
  const auto logits = random_logits(201088, 5, 2);
  for (const SamplingParams& base : {SamplingParams{}, SamplingParams{.top_p = 0.9f}, SamplingParams{.top_k = 40},
                                     SamplingParams{.min_p = 0.05f}, SamplingParams{.top_p = 0.5f, .top_k = 100000}}) {
    SamplingParams params = base;
    params.seed = 9;
    const auto wanted = expected(params, logits);
    for (uint64_t position = 0; position < 20; ++position)
      CHECK(wanted.contains(sample(params, logits, position).token));
  }
}

void test_randomness() {
  const auto logits = random_logits(1000, 2, 1);
  SamplingParams params;
  std::vector<int32_t> first, again, other;
  for (uint64_t position = 0; position < 50; ++position) {
    params.seed = 1;
    first.push_back(sample(params, logits, position).token);
    again.push_back(sample(params, logits, position).token);
    params.seed = 2;
    other.push_back(sample(params, logits, position).token);
  }
  CHECK(first == again);
  CHECK(first != other);
  // Noise of neighbouring seeds, positions and ids is unrelated, and exp(-exp(-noise)) is even over [0, 1).
  std::vector<int> bins(20);
  double product = 0;
  constexpr int kSide = 300;
  const auto uniform = [](uint64_t seed, uint64_t position, size_t id) {
    float noise;
    ops_scalar()->f32_gumbel(&noise, noise_key(seed, position), id, 1);
    return std::exp(-std::exp(-double(noise)));
  };
  for (uint64_t a = 0; a < kSide; ++a) {
    for (uint64_t b = 0; b < kSide; ++b) {
      const double u = uniform(a, b, a + b);
      CHECK(u >= 0 && u <= 1);
      bins[std::min(size_t(u * 20), size_t(19))]++;
      product += (u - 0.5) * (uniform(a, b + 1, a + b) - 0.5) + (u - 0.5) * (uniform(a + 1, b, a + b) - 0.5) +
                 (u - 0.5) * (uniform(a, b, a + b + 1) - 0.5);
    }
  }
  for (const int count : bins) CHECK(std::fabs(count - kSide * kSide / 20.0) < 5 * std::sqrt(kSide * kSide / 20.0));
  CHECK(std::fabs(product) < 5 * std::sqrt(3.0 * kSide * kSide) / 12);
  CHECK(noise_key(0, 0) != noise_key(UINT64_MAX, 0));
}

// What is rare must neither vanish nor come too often: 20,000 ids share a thousandth.
void test_rare_tokens() {
  std::vector<float> logits(20001, 0.0f);
  logits[0] = float(std::log(20000.0 * 999));
  SamplingParams params;
  int rare = 0;
  constexpr int kDraws = 4000;
  for (uint64_t position = 0; position < kDraws; ++position) rare += sample(params, logits, position).token != 0;
  CHECK(rare >= 1 && rare <= 12);  // 4 expected: five standard deviations, and not none
}

void test_logprobs() {
  const auto logits = random_logits(300, 4);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double(logit));
  const double log_sum = std::log(sum);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[size_t(a)] > logits[size_t(b)]; });
  // Bias, penalties, temperature and filters change what is drawn, not what the model thought of it.
  SamplingParams params{
      .temperature = 0.3f, .top_p = 0.5f, .seed = 4, .logit_bias = {{order[250], 100}}, .top_logprobs = 20};
  const Drawn drawn = sample(params, logits);
  CHECK_EQ(drawn.token, order[250]);
  CHECK(std::fabs(drawn.logprob.logprob - (logits[size_t(order[250])] - log_sum)) < 1e-4);
  CHECK_EQ(drawn.logprob.top.size(), size_t(20));
  for (size_t i = 0; i < drawn.logprob.top.size(); ++i) {
    CHECK_EQ(drawn.logprob.top[i].first, order[i]);
    CHECK(std::fabs(drawn.logprob.top[i].second - (logits[size_t(order[i])] - log_sum)) < 1e-4);
  }
  params.top_logprobs = 0;
  CHECK(sample(params, logits).logprob.top.empty());
  params.top_logprobs = 20;
  CHECK_EQ(sample({.temperature = 0, .top_logprobs = 20}, {1, 2, 2}).logprob.top.size(),
           size_t(3));  // no more than there are
}

void test_failures() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float temperature : {0.0f, 1.0f}) {
    const SamplingParams params{.temperature = temperature};
    CHECK(sample(params, {1, nan, 2}).status.code == Code::internal);
    CHECK(sample(params, {1, kInfinity, 2}).status.code == Code::internal);
    CHECK(sample(params, {nan, nan}).status.code == Code::internal);
    CHECK(sample(params, {-kInfinity, -kInfinity}).status.code == Code::internal);
    CHECK(sample(params, {1, 2}, 0, kNoCounts, {0, 1}).status.code == Code::internal);
    CHECK_EQ(sample(params, {-kInfinity, 2, -kInfinity}).token, 1);
  }
  const auto refused = [](const SamplingParams& params) {
    return check_sampling(params, 10).code == Code::invalid_argument;
  };
  CHECK_OK(check_sampling({}, 10));
  for (const SamplingParams& params :
       {SamplingParams{.temperature = -1}, SamplingParams{.temperature = nan}, SamplingParams{.temperature = kInfinity},
        SamplingParams{.top_p = 1.1f}, SamplingParams{.top_p = nan}, SamplingParams{.top_k = -1},
        SamplingParams{.min_p = -0.1f}, SamplingParams{.frequency_penalty = nan},
        SamplingParams{.presence_penalty = kInfinity}, SamplingParams{.repetition_penalty = 0},
        SamplingParams{.logit_bias = {{10, 1}}}, SamplingParams{.logit_bias = {{-1, 1}}},
        SamplingParams{.logit_bias = {{1, nan}}}, SamplingParams{.top_logprobs = 21}}) {
    CHECK(refused(params));
  }
}

}  // namespace

int main() {
  test_greedy_and_changes();
  test_filters();
  test_ends();
  test_survivors_on_hard_shapes();
  test_full_vocabulary();
  test_randomness();
  test_rare_tokens();
  test_logprobs();
  test_failures();
  return check_result();
}
