// Memory runs out at one place after another that asks for some while sequences run: each still ends once, with its tokens or
// with an error, no other block is lost, and nothing that a failed step left behind is taken for a remembered prefix.
#include <atomic>
#include <cstdlib>
#include <new>

#include "scheduler_fixture.h"

namespace {

std::atomic<int> allocations_left{-1};  // negative: endless
thread_local bool may_fail = true;

}  // namespace

void* operator new(size_t bytes) {
  if (may_fail && !switchyard::is_delivering && allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

using namespace switchyard;

namespace {

void test_places(const std::string& name, const std::string& mode) {
  const auto model = load(golden_folder() + name + "/hf", mode);
  if (!model) return;
  const int vocab = model->weights->config().vocab_size;
  model->max_context = 192;
  const std::vector<int32_t> start = random_prompt(70, vocab, 1);
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 4; ++i) {
    std::vector<int32_t> prompt = start;
    for (const int32_t id : random_prompt(1 + i * 9, vocab, i)) prompt.push_back(id);
    requests.push_back(request_of(std::move(prompt), 40, i));
    requests.back().sampling.top_p = 0.9f;
    requests.back().sampling.top_logprobs = int(i) - 1;
    requests.back().sampling.presence_penalty = i > 1 ? 0.1f : 0;
  }
  std::vector<std::vector<int32_t>> expected;
  for (const auto& request : requests) expected.push_back(run_alone(model.get(), request).ids);
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 200, 16);
  const SchedulerOptions options{.max_sequences = 3, .prefill_chunk = 16, .kv_bytes = kv_bytes};

  int failures = 0, place = 0;
  for (bool reached = true; reached; place += 1 + place / 32) {
    Runner runner(model.get(), options);
    std::vector<uint64_t> ids;
    allocations_left = place;
    for (size_t round = 0; round < 2; ++round) {  // again, over what the first round remembered
      for (const auto& request : requests) ids.push_back(runner.submit(request));
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
  CHECK(failures > 20);
}

}  // namespace

int main() {
  may_fail = false;
  test_places("tiny-a", "fast");
  test_places("odd", "exact");  // matrices of several parts
  return check_result();
}
