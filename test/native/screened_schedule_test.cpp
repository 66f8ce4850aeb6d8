// A whole engine with a screened head against one without: the same tokens for every kind of request, alone and together.
#include "scheduler_fixture.h"

using namespace switchyard;

namespace {

std::unique_ptr<Model> load_with(const std::string& head, const std::string& mode) {
  EngineOptions options;
  options.model_path = golden_folder() + "tiny-b/hf";
  options.mode = mode;
  options.head = head;
  options.threads = 2;
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(options, {}, &model));
  return model;
}

std::vector<GenerateRequest> requests(int vocab) {
  const std::vector<SamplingParams> sampling = {
      {.temperature = 0},
      {.temperature = 1, .seed = 3},
      {.temperature = 0.7f, .top_k = 8, .seed = 4},
      {.temperature = 1.2f, .min_p = 0.02f, .seed = 5},
      {.temperature = 1, .top_p = 0.9f, .seed = 6},  // needs every logit
      {.temperature = 0, .frequency_penalty = 0.7f, .repetition_penalty = 1.2f, .logit_bias = {{7, 3.0f}, {9, -50.0f}}},
      {.temperature = 1, .seed = 7, .top_logprobs = 3},  // so does this
      {.temperature = 1, .seed = 8, .presence_penalty = 1.5f},
  };
  std::vector<GenerateRequest> list;
  for (size_t i = 0; i < sampling.size(); ++i) {
    GenerateRequest& request = list.emplace_back(request_of(random_prompt(5 + 7 * i, vocab, uint32_t(i)), 24));
    request.sampling = sampling[i];
    request.never_ids = {11, 12, 13};
  }
  return list;
}

void test_same_tokens(const std::string& mode) {
  const auto whole = load_with("exact", mode), screened = load_with("screened", mode);
  CHECK(!whole->head && screened->head);
  CHECK_EQ(screened->info().head, "screened");
  CHECK_EQ(screened->info().head_bytes, int64_t(screened->head->bytes()));
  const auto list = requests(whole->weights->config().vocab_size);
  std::vector<Answer> alone;
  for (const GenerateRequest& request : list) alone.push_back(run_alone(whole.get(), request));
  for (size_t i = 0; i < list.size(); ++i) {
    CHECK_EQ(alone[i].ids.size(), size_t(24));
    CHECK(run_alone(screened.get(), list[i]).ids == alone[i].ids);
  }
  // All at once, and those alone that the screen may serve.
  for (const bool mixed : {true, false}) {
    Runner runner(screened.get(), {.max_sequences = 8});
    std::vector<std::pair<uint64_t, size_t>> ids;
    for (size_t i = 0; i < list.size(); ++i) {
      if (mixed || (i != 4 && i != 6)) ids.emplace_back(runner.submit(list[i]), i);
    }
    runner.wait_all();
    for (const auto& [id, i] : ids) CHECK(runner.answer(id).ids == alone[i].ids);
  }
}

void test_choices() {
  EngineOptions options;
  options.model_path = golden_folder() + "tiny-b/hf";
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(options, {}, &model));
  CHECK_EQ(model->info().head, "exact");  // auto: so small a head is read as quickly as it is screened
  options.head = "none";
  CHECK(Model::load(options, {}, &model).code == Code::invalid_argument);
  options.head = "screened";
  options.mode = "exact";
  CHECK(Model::load(options, {}, &model).code == Code::invalid_argument);
}

}  // namespace

int main() {
  test_same_tokens("fast");
  test_same_tokens("bf16");
  test_choices();
  return check_result();
}
