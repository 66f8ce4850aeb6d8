// Attention's matrices as int8: what it costs in precision on the golden models, that it stays one result whatever runs
// beside it, and what it is refused for.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "logits.h"
#include "scheduler_fixture.h"

using namespace switchyard;

namespace {

std::unique_ptr<Model> load_dense(const std::string& folder, const std::string& dense, const std::string& mode = "fast",
                                  Status* status = nullptr) {
  EngineOptions options;
  options.model_path = folder;
  options.mode = mode;
  options.dense = dense;
  options.threads = 2;
  std::unique_ptr<Model> model;
  const Status loaded = Model::load(options, {}, &model);
  if (status) *status = loaded;
  else CHECK_OK(loaded);
  return model;
}

struct Error {
  double largest = 0, sum = 0, size = 0;  // of differences; size: the largest logit
  size_t count = 0;
  double mean() const { return sum / double(count); }
};

void add(const std::vector<float>& logits, const std::vector<float>& expected, Error* error) {
  for (size_t i = 0; i < logits.size(); ++i) {
    const double off = std::fabs(double(logits[i]) - double(expected[i]));
    error->largest = std::max(error->largest, off);
    error->size = std::max(error->size, std::fabs(double(expected[i])));
    error->sum += off;
    error->count++;
  }
}

// Against the oracle's logits, beside what mode fast is off without it. These models are tiny and their weights large: where a
// router is nearly undecided, a small error chooses another expert, and the largest differences are of such places.
void test_error(const std::string& name, double most) {
  Error errors[2];
  for (const bool int8 : {false, true}) {
    const auto model = load_dense(golden_folder() + name + "/hf", int8 ? "int8" : "bf16");
    if (!model) return;
    CHECK_EQ(model->info().dense, int8 ? "int8" : "bf16");
    for (const GoldenPrompt& prompt : read_golden(name)) {
      std::vector<float> logits, one_by_one;
      CHECK_OK(compute_logits(model.get(), prompt.ids, 0, &logits));
      add(logits, prompt.logits, &errors[int8]);
      CHECK_OK(compute_logits(model.get(), prompt.ids, 1, &one_by_one));
      CHECK(logits == one_by_one);  // to the bit
    }
  }
  const Error &plain = errors[0], &int8 = errors[1];
  std::printf("%s: logits to %.2f; off bf16 %.4f, mean %.5f; int8 %.4f, mean %.5f\n", name.c_str(), plain.size,
              plain.largest, plain.mean(), int8.largest, int8.mean());
  CHECK(int8.largest < most);
  CHECK(int8.mean() < 2.5 * plain.mean());
}

void test_bytes() {
  const std::string folder = golden_folder() + "tiny-b/hf";
  const auto bf16 = load_dense(folder, "bf16"), int8 = load_dense(folder, "int8");
  if (!bf16 || !int8) return;
  size_t dense = 0, read[2] = {};
  for (int layer = 0; layer < bf16->weights->config().num_hidden_layers; ++layer) {
    const LayerWeights& weights = bf16->weights->layer(size_t(layer));
    for (const Linear* linear : {&weights.q, &weights.k, &weights.v, &weights.o})
      dense += linear->rows() * linear->n_in() * sizeof(uint16_t);
  }
  bf16->weights->for_each_decode_buffer([&](const void*, size_t bytes) { read[0] += bytes; });
  int8->weights->for_each_decode_buffer([&](const void*, size_t bytes) { read[1] += bytes; });
  CHECK_EQ(read[0] - read[1], dense - dense / 32 * 17);
  CHECK_EQ(bf16->weights->bytes() - int8->weights->bytes(), int64_t(dense - dense / 32 * 17));
}

// Sequences side by side, alone, and with guesses: the same tokens.
void test_same_tokens() {
  const auto model = load_dense(golden_folder() + "tiny-b/hf", "int8");
  if (!model) return;
  const int vocab = model->weights->config().vocab_size;
  Runner runner(model.get(), {.max_sequences = 5, .prefill_chunk = 7, .speculate = 5, .always_speculate = true});
  std::vector<std::pair<uint64_t, Answer>> submitted;
  for (uint32_t i = 0; i < 9; ++i) {
    GenerateRequest request = request_of(random_prompt(1 + 13 * i, vocab, i), 30, i);
    const Answer alone = run_alone(model.get(), request);
    request.predicted = alone.ids;
    submitted.emplace_back(runner.submit(request), alone);
  }
  runner.wait_all();
  for (const auto& [id, alone] : submitted) CHECK(runner.answer(id).ids == alone.ids);
}

void test_refusals() {
  Status status;
  const auto refused = [&](const std::string& name, const std::string& dense, const std::string& mode) {
    load_dense(golden_folder() + name + "/hf", dense, mode, &status);
    return status.message;
  };
  CHECK(refused("tiny-a", "int4", "fast").find("\"int4\" is not bf16 or int8") != std::string::npos);
  for (const char* mode : {"exact", "bf16"}) {
    CHECK(refused("tiny-a", "int8", mode).find("has no int8 dense matrices") != std::string::npos);
    CHECK(status.code == Code::invalid_argument);
  }
  CHECK(refused("plain", "int8", "fast").find("BF16") != std::string::npos);  // stored in F32
  CHECK(status.code == Code::unsupported);
}

}  // namespace

int main() {
  test_error("tiny-a", 4);
  test_error("tiny-b", 6);
  test_bytes();
  test_same_tokens();
  test_refusals();
  return check_result();
}
