// Memory runs out at one place after another that asks for some while sequences run: each still ends once, with its tokens or
// with an error, no other block is lost, and nothing that a failed step left behind is taken for a remembered prefix.
#include <atomic>
#include <cstdlib>
#include <new>

#include "scheduler_fixture.h"

namespace {

std::atomic<int> allocations_left{-1};  // negative: endless
size_t least_bytes = 0;                 // of an allocation that counts
thread_local bool may_fail = true;

}  // namespace

[[gnu::noinline]] void* operator new(size_t bytes) {
  const bool counts = may_fail && !switchyard::is_delivering && bytes >= least_bytes;
  if (counts && allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

using namespace switchyard;

namespace {

// Guesses among them; with `screened`, where the head's tables are the large allocations, each of these and no other.
void test_places(const std::string& name, const std::string& mode, bool screened = false) {
  EngineOptions engine{.model_path = golden_folder() + name + "/hf", .mode = mode, .threads = 2};
  if (screened) engine.head = "screened";
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(engine, {}, &model));
  if (!model) return;
  const int vocab = model->weights->config().vocab_size;
  model->max_context = 192;
  const std::vector<int32_t> start = random_prompt(70, vocab, 1);
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 4; ++i) {
    std::vector<int32_t> prompt = start;
    for (const int32_t id : random_prompt(1 + i * 9, vocab, i)) prompt.push_back(id);
    requests.push_back(request_of(std::move(prompt), 40, i));
    if (screened) continue;
    requests.back().sampling.top_p = 0.9f;
    requests.back().sampling.top_logprobs = int(i) - 1;
    requests.back().sampling.presence_penalty = i > 1 ? 0.1f : 0;
  }
  // What is masked for the one must not be for the others.
  for (int32_t id = 0; screened && id < vocab; id += 2) requests[0].never_ids.push_back(id);
  std::vector<std::vector<int32_t>> expected;
  for (const auto& request : requests) expected.push_back(run_alone(model.get(), request).ids);
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 200, 16);
  SchedulerOptions options{.max_sequences = 3, .prefill_chunk = 16, .kv_bytes = kv_bytes};
  if (!screened) options.speculate = 5, options.always_speculate = true;
  for (size_t i = 1; i < requests.size(); ++i) {  // guesses that are right in part
    requests[i].predicted = expected[i];
    requests[i].predicted[9] ^= 1;
  }

  int failures = 0, place = 0;
  least_bytes = screened ? size_t(64) << 10 : 0;
  for (bool reached = true; reached; place += 1 + place / 32) {
    Runner runner(model.get(), options);
    std::vector<uint64_t> ids(2 * requests.size());
    allocations_left = place;
    for (size_t round = 0; round < 2; ++round) {  // again, over what the first round remembered
      for (size_t i = 0; i < requests.size(); ++i) {
        const size_t other = round == 0 ? i : requests.size() - 1 - i;  // in the places of others
        ids[round * requests.size() + other] = runner.submit(requests[other]);
      }
      if (round == 0) runner.scheduler().cancel(ids[3]);
      runner.wait_all();
      if (round == 0) reached = allocations_left < 0;
      allocations_left = -1;
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      const Answer answer = runner.answer(ids[i]);
      const std::vector<int32_t>& whole = expected[i % requests.size()];
      CHECK_EQ(answer.endings, 1);
      CHECK(answer.ids.size() <= whole.size() && std::equal(answer.ids.begin(), answer.ids.end(), whole.begin()));
      if (answer.finish == Finish::error) {
        CHECK(i < requests.size() && answer.error.code == Code::out_of_memory);
        failures++;
      } else {
        CHECK(answer.finish == Finish::cancelled ? i == 3 : answer.ids.size() == whole.size());
      }
    }
    CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
  }
  least_bytes = 0;
  CHECK(failures > (screened ? 0 : 20));
}

}  // namespace

int main() {
  may_fail = false;
  test_places("tiny-a", "fast");
  test_places("tiny-b", "fast", true);
  test_places("odd", "exact");  // matrices of several parts
  return check_result();
}
