// The forward pass against transformers (test/fixtures/golden): logits, greedy continuations, and the promise that
// neither the split of a prompt nor the number of threads changes a bit.
#include <algorithm>
#include <cmath>

#include "engine.h"
#include "model_fixture.h"

using namespace switchyard;

namespace {

std::unique_ptr<Engine> load(const std::string& folder, int threads = 2, const std::string& mode = "exact",
                             const std::string& isa = "scalar") {
  EngineOptions options;
  options.model_path = folder;
  options.mode = mode;
  options.isa = isa;
  options.threads = threads;
  std::unique_ptr<Engine> engine;
  CHECK_OK(Engine::load(options, {}, &engine));
  return engine;
}

std::vector<float> logits_of(Engine* engine, const std::vector<int32_t>& ids, size_t prefill = 0) {
  std::vector<float> logits;
  CHECK_OK(engine->logits(ids, prefill, &logits));
  return logits;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (!CHECK_EQ(a.size(), b.size())) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(double(a[i]) - double(b[i]));
    if (!(difference <= largest)) largest = difference;  // a NaN gets through
  }
  return largest;
}

void check_golden(const std::string& name, const std::string& layout, const std::string& isa) {
  const auto engine = load(golden_folder() + name + "/" + layout, 2, "exact", isa);
  if (!engine) return;
  const size_t vocab = size_t(engine->info().vocab_size);
  for (const GoldenPrompt& prompt : read_golden(name)) {
    const auto logits = logits_of(engine.get(), prompt.ids);
    const double difference = largest_difference(logits, prompt.logits);
    std::printf("%s/%s %s, %zu ids: max |difference| %.2g\n", name.c_str(), layout.c_str(), isa.c_str(),
                prompt.ids.size(), difference);
    CHECK(difference <= 1e-3);

    // Teacher-forced: step i sees the oracle's own ids before it.
    std::vector<int32_t> ids = prompt.ids;
    ids.insert(ids.end(), prompt.greedy.begin(), prompt.greedy.end());
    const auto all = logits_of(engine.get(), ids);
    for (size_t i = 0; i < prompt.greedy.size(); ++i) {
      const auto row = all.begin() + ptrdiff_t((prompt.ids.size() - 1 + i) * vocab);
      CHECK_EQ(std::max_element(row, row + ptrdiff_t(vocab)) - row, prompt.greedy[i]);
    }
  }
}

void check_splits_and_threads(const std::string& name, const std::string& mode, const std::string& isa) {
  const auto prompts = read_golden(name);
  const std::vector<int32_t>& ids = prompts.back().ids;
  const auto engine = load(golden_folder() + name + "/hf", 1, mode, isa);
  if (!engine) return;
  const auto whole = logits_of(engine.get(), ids);
  for (const size_t prefill : {size_t(1), size_t(7), ids.size() - 1})
    CHECK(logits_of(engine.get(), ids, prefill) == whole);
  for (const int threads : {2, 3}) {
    const auto other = load(golden_folder() + name + "/hf", threads, mode, isa);
    if (other) CHECK(logits_of(other.get(), ids) == whole);
  }
}

// Contexts of several spans: a prompt's rows go through them one after the other, a decoded row's spans are shared out to all
// threads. The bits are the same.
void check_long_context(const std::string& mode, const std::string& isa) {
  std::vector<int32_t> ids(1200);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(i * i * 31 % 311);
  const auto one = load(golden_folder() + "tiny-b/hf", 1, mode, isa), three = load(golden_folder() + "tiny-b/hf", 3, mode, isa);
  if (!one || !three) return;
  const auto whole = logits_of(one.get(), ids);
  for (const size_t prefill : {size_t(1), size_t(509), size_t(1022)}) CHECK(logits_of(three.get(), ids, prefill) == whole);
}

// The quick modes against exact, on a model whose tokens go to all experts: on random weights a rounding error may
// otherwise choose another expert, which is as right as wrong. These weights magnify errors (float32's own 6e-8 becomes
// 1e-4), so the bounds are wide, but far from the 1.4 of unrelated logits; the ops' own tests are the tight ones.
void check_quick_modes(const std::string& isa) {
  const auto prompts = read_golden("tiny-b");
  for (const auto& [mode, bound] : {std::pair{"bf16", 0.15}, std::pair{"fast", 0.2}}) {
    const auto engine = load(golden_folder() + "tiny-b/hf", 2, mode, isa);
    if (!engine) return;
    for (const GoldenPrompt& prompt : prompts) {
      const auto logits = logits_of(engine.get(), prompt.ids);
      double error = 0, size = 0;
      for (size_t i = 0; i < logits.size(); ++i) {
        error += std::pow(double(logits[i]) - double(prompt.logits[i]), 2);
        size += std::pow(double(prompt.logits[i]), 2);
      }
      const double relative = std::sqrt(error / size);
      std::printf("tiny-b %s %s, %zu ids: relative error %.2g\n", isa.c_str(), mode, prompt.ids.size(), relative);
      CHECK(relative < bound);
    }
  }
}

}  // namespace

int main() {
  for (const std::string isa : {"scalar", "auto"}) {
    check_golden("tiny-a", "hf", isa);
    check_golden("tiny-a", "original", isa);
    check_golden("tiny-b", "hf", isa);
    check_golden("wide", "hf", isa);   // 128 experts, window 128, 300 tokens
    check_golden("odd", "hf", isa);    // 6 query and 3 key heads, 5 experts, truncating YaRN, rope_parameters, shards
    check_golden("plain", "hf", isa);  // unquantised experts, float32 matrices, no biases, no YaRN
    check_golden("edges", "hf", isa);  // tied embeddings, float16, window 1, all experts, factor below 1, other eps and limit
  }
  check_quick_modes("scalar");
  check_quick_modes("auto");
  for (const std::string mode : {"exact", "bf16", "fast"}) {
    check_splits_and_threads("tiny-a", mode, "scalar");
    check_splits_and_threads("tiny-b", mode, "auto");
    check_splits_and_threads("wide", mode, "auto");
    check_splits_and_threads("plain", mode, "auto");
    check_splits_and_threads("edges", mode, "auto");
  }
  for (const std::string mode : {"exact", "bf16"}) check_long_context(mode, "auto");
  return check_result();
}
