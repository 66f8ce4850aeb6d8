// Continuous batching: what a sequence gets never depends on its company, on preemption or on the size of a step;
// cancellation, failure and shutdown end each sequence exactly once and give its memory back.
#include "checkpoint.h"
#include "scheduler_fixture.h"

#include <filesystem>
#include <random>
#include <set>

using namespace switchyard;

namespace {

// Requests of mixed lengths and samplers, run together under `options`, equal their lone runs.
int64_t check_company(Model* model, const SchedulerOptions& options, size_t count, size_t longest, int generated = 20) {
  const int vocab = model->weights->config().vocab_size;
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < count; ++i) {
    GenerateRequest request =
        request_of(random_prompt(1 + i * longest / count, vocab, uint32_t(i)), generated + int(i), i);
    if (i % 3 == 1) request.sampling.temperature = 0;
    if (i % 3 == 2) request.sampling.top_p = 0.8f, request.sampling.frequency_penalty = 0.5f;
    requests.push_back(std::move(request));
  }
  Runner runner(model, options);
  std::vector<uint64_t> ids;
  for (const auto& request : requests) ids.push_back(runner.submit(request));
  runner.wait_all();
  const int64_t preemptions = runner.scheduler().preemptions();
  CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
  for (size_t i = 0; i < count; ++i) {
    const Answer together = runner.answer(ids[i]), alone = run_alone(model, requests[i]);
    CHECK(together.ids == alone.ids);
    CHECK_EQ(together.ids.size(), size_t(requests[i].max_tokens));
    CHECK(together.finish == Finish::length);
    CHECK_EQ(together.prompt_tokens, int(requests[i].prompt.size()));
  }
  CHECK(count < 2 || options.max_sequences < 2 || runner.most_at_once() > 1);  // they did overlap
  return preemptions;
}

void test_company() {
  for (const std::string mode : {"exact", "bf16", "fast"}) {
    const auto model = load(golden_folder() + "tiny-b/hf", mode);
    if (!model) continue;
    CHECK_EQ(check_company(model.get(), {}, 4, 60), 0);
    CHECK_EQ(check_company(model.get(), {.max_sequences = 3, .prefill_chunk = 5}, 8, 60), 0);
    CHECK_EQ(check_company(model.get(), {.max_sequences = 1, .prefill_chunk = 1}, 3, 10), 0);
    CHECK_EQ(check_company(model.get(), {.max_sequences = 3, .prefill_chunk = 4}, 3, 1600, 450), 0);  // in several spans
  }
}

// Eight sequences that outgrow their memory while they generate: room for about one and a half at full length.
void test_preemption() {
  const auto model = load(golden_folder() + "tiny-b/hf");
  if (!model) return;
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 260, 16);
  CHECK(check_company(model.get(), {.max_sequences = 8, .prefill_chunk = 16, .kv_bytes = kv_bytes}, 8, 30, 150) > 0);
}

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// What a prompt has in common with earlier ones is not computed again, and nothing else changes: the same tokens, by
// logits that are equal to the bit (a sampled token depends on all of them).
void test_prefix_cache() {
  for (const std::string mode : {"exact", "bf16", "fast"}) {
    const auto model = load(golden_folder() + "tiny-b/hf", mode);
    if (!model) continue;
    const int vocab = model->weights->config().vocab_size;
    Runner runner(model.get(), {.max_sequences = 4, .prefill_chunk = 48});
    const auto ask = [&](const GenerateRequest& request) {
      const uint64_t id = runner.submit(request);
      runner.wait_all();
      const Answer answer = runner.answer(id);
      CHECK(answer.ids == run_alone(model.get(), request).ids);
      return answer;
    };
    for (const size_t length : {31, 32, 33, 64, 65, 97, 200}) {
      const GenerateRequest request = request_of(random_prompt(length, vocab, uint32_t(length)), 40);
      CHECK_EQ(ask(request).cached_tokens, 0);
      CHECK_EQ(size_t(ask(request).cached_tokens), (length - 1) / 32 * 32);
    }
    // The next turn of a conversation: from the end of the answer, or, where that is left out, of the prompt.
    const std::vector<int32_t> prompt = random_prompt(150, vocab, 7), next = random_prompt(20, vocab, 8);
    const Answer first = ask(request_of(prompt, 48));
    const std::vector<int32_t> whole = joined(prompt, first.ids);
    CHECK_EQ(ask(request_of(joined(whole, next), 10)).cached_tokens, 192);  // of 150 + 47 computed
    CHECK_EQ(ask(request_of(joined(prompt, next), 10)).cached_tokens, 128);
    // A place inside that the caller names; without it, two prompts that part there have nothing in common.
    for (const bool named : {false, true}) {
      const std::vector<int32_t> start = random_prompt(100, vocab, named ? 9 : 10);
      GenerateRequest request = request_of(joined(start, random_prompt(90, vocab, 11)), 5);
      if (named) request.prefix_ends = {-5, 100, 1000000};
      ask(request);
      CHECK_EQ(ask(request_of(joined(start, random_prompt(50, vocab, 12)), 5)).cached_tokens, named ? 96 : 0);
    }
    // More places than are looked at: the last one is not remembered.
    for (const size_t hints : {63, 64}) {
      const std::vector<int32_t> start = random_prompt(100, vocab, 13 + uint32_t(hints));
      GenerateRequest request = request_of(joined(start, random_prompt(90, vocab, 11)), 5);
      request.prefix_ends.assign(hints, 0);
      request.prefix_ends.push_back(100);
      ask(request);
      CHECK_EQ(ask(request_of(joined(start, random_prompt(50, vocab, 12)), 5)).cached_tokens, hints < 64 ? 96 : 0);
    }
    // Many at once on one prefix, and others that are not.
    std::vector<GenerateRequest> requests;
    for (uint32_t i = 0; i < 12; ++i)
      requests.push_back(request_of(joined(i % 3 ? prompt : next, random_prompt(1 + i * 3, vocab, 100 + i)), 30, i));
    std::vector<uint64_t> ids;
    for (const auto& request : requests) ids.push_back(runner.submit(request));
    runner.wait_all();
    for (size_t i = 0; i < ids.size(); ++i) {
      CHECK(runner.answer(ids[i]).ids == run_alone(model.get(), requests[i]).ids);
      CHECK_EQ(runner.answer(ids[i]).cached_tokens, i % 3 ? 128 : 0);
    }
    CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
  }
}

// Remembered prefixes give way to those who need the memory, and a sequence that was thrown out finds its own again.
void test_prefix_cache_under_pressure() {
  const auto model = load(golden_folder() + "tiny-b/hf");
  if (!model) return;
  const int vocab = model->weights->config().vocab_size;
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 260, 16);
  Runner runner(model.get(), {.max_sequences = 6, .prefill_chunk = 16, .kv_bytes = kv_bytes});
  std::mt19937 random(5);
  std::vector<GenerateRequest> requests;
  std::vector<uint64_t> ids;
  for (uint32_t i = 0; i < 60; ++i) {
    const std::vector<int32_t> start = random_prompt(40 + 30 * (random() % 3), vocab, random() % 4);
    GenerateRequest request = request_of(joined(start, random_prompt(1 + random() % 60, vocab, i)), 1 + int(random() % 120), i);
    request.prefix_ends = {int32_t(start.size())};
    requests.push_back(request);
    ids.push_back(runner.submit(request));
    if (random() % 8 == 0) runner.scheduler().cancel(ids[random() % ids.size()]);
  }
  runner.wait_all();
  int hits = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const Answer answer = runner.answer(ids[i]);
    hits += answer.cached_tokens > 0;
    const std::vector<int32_t> alone = run_alone(model.get(), requests[i]).ids;
    CHECK(answer.ids.size() <= alone.size() && std::equal(answer.ids.begin(), answer.ids.end(), alone.begin()));
    CHECK(answer.finish == Finish::cancelled || answer.ids.size() == alone.size());
  }
  CHECK(hits > 0);
  CHECK(runner.scheduler().preemptions() > 0);
  CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
}

// Two that share most of their blocks run together where there is no room for two of that length.
void test_admission_counts_shared_blocks_once() {
  const auto model = load(golden_folder() + "tiny-b/hf");
  if (!model) return;
  const int vocab = model->weights->config().vocab_size;
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 520, 16);
  for (const bool shares : {true, false}) {
    Runner runner(model.get(), {.max_sequences = 2, .prefill_chunk = 16, .kv_bytes = kv_bytes});
    const std::vector<int32_t> start = random_prompt(330, vocab, 1);
    GenerateRequest first = request_of(start, 100), second = request_of(joined(start, {1, 2, 3}), 5);
    first.prefix_ends = {320};
    if (!shares) second.prompt = random_prompt(333, vocab, 2);
    const auto [running, other] = runner.submit_in_turn(first, 2, second);
    runner.wait_all();
    CHECK_EQ(runner.most_at_once(), shares ? size_t(2) : size_t(1));
    CHECK_EQ(runner.answer(other).cached_tokens, shares ? 320 : 0);
    CHECK(runner.answer(running).ids == run_alone(model.get(), first).ids);
    CHECK(runner.answer(other).ids == run_alone(model.get(), second).ids);
    CHECK_EQ(runner.scheduler().stats().kv_tokens_used, 0);
  }
}

void test_endings() {
  const auto model = load(golden_folder() + "tiny-a/hf");
  if (!model) return;
  const auto golden = read_golden("tiny-a");
  GenerateRequest request = request_of(golden[1].ids, 24);
  request.sampling.temperature = 0;
  CHECK(run_alone(model.get(), request).ids == golden[1].greedy);
  request.stop_ids = {golden[1].greedy[3]};  // delivered, and nothing after it
  const Answer stopped = run_alone(model.get(), request);
  CHECK(stopped.finish == Finish::stop);
  CHECK(stopped.ids == std::vector<int32_t>(golden[1].greedy.begin(), golden[1].greedy.begin() + 4));
  request.stop_ids = {};
  request.never_ids = {golden[1].greedy[0]};
  CHECK(run_alone(model.get(), request).ids[0] != golden[1].greedy[0]);

  // Up to the end of a small context, prompt included.
  model->max_context = 40;
  request.max_tokens = 0;
  CHECK_EQ(run_alone(model.get(), request).ids.size(), 40 - request.prompt.size());
  Runner runner(model.get(), {});
  CHECK_EQ(runner.scheduler().max_context(), 40);
  uint64_t id;
  const auto refused = [&](GenerateRequest bad) {
    return runner.scheduler().submit(std::move(bad), &id).code == Code::invalid_argument;
  };
  CHECK(refused(request_of({}, 1)));
  CHECK(refused(request_of({320}, 1)));
  CHECK(refused(request_of({-1}, 1)));
  CHECK(refused(request_of({1}, -1)));
  CHECK(refused(request_of(std::vector<int32_t>(40, 1), 1)));
  GenerateRequest bad = request_of({1}, 1);
  bad.sampling.temperature = -1;
  CHECK(refused(bad));
  bad = request_of({1}, 1);
  bad.stop_ids = {5000};
  CHECK(refused(bad));
  runner.scheduler().cancel(12345);  // unknown: ignored
}

// Penalties are of what was generated, but for the ids that they leave alone.
void test_penalties() {
  const auto model = load(golden_folder() + "tiny-a/hf");
  if (!model) return;
  GenerateRequest request = request_of({1, 2, 3}, 8);
  request.sampling.temperature = 0;
  request.sampling.logit_bias = {{7, 1000.0f}};
  CHECK(run_alone(model.get(), request).ids == std::vector<int32_t>(8, 7));
  request.sampling.presence_penalty = 5000;
  const Answer penalized = run_alone(model.get(), request);
  CHECK_EQ(std::set<int32_t>(penalized.ids.begin(), penalized.ids.end()).size(), size_t(8));
  request.sampling.unpenalized_ids = {7};
  CHECK(run_alone(model.get(), request).ids == std::vector<int32_t>(8, 7));
}

void test_kv_limits() {
  const auto model = load(golden_folder() + "tiny-a/hf");
  if (!model) return;
  std::unique_ptr<Scheduler> scheduler;
  CHECK(Scheduler::create(model.get(), {.kv_bytes = 100}, &scheduler).code == Code::invalid_argument);
  CHECK(Scheduler::create(model.get(), {.kv_bytes = -1}, &scheduler).code == Code::invalid_argument);
  CHECK(Scheduler::create(model.get(), {.max_sequences = 0}, &scheduler).code == Code::invalid_argument);
  CHECK(Scheduler::create(model.get(), {.prefill_chunk = 0}, &scheduler).code == Code::invalid_argument);
  // The context is cut to what fits, and a sequence that fills it runs to the end.
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), sizeof(float), 96, 8);
  Runner runner(model.get(), {.max_sequences = 2, .prefill_chunk = 8, .kv_bytes = kv_bytes});
  CHECK_EQ(runner.scheduler().max_context(), 96);
  const uint64_t first = runner.submit(request_of({1, 2, 3}, 0)), second = runner.submit(request_of({1, 2, 3}, 0));
  runner.wait_all();
  CHECK_EQ(runner.answer(first).ids.size(), size_t(93));
  CHECK(runner.answer(first).ids == runner.answer(second).ids);
}

void test_short_prompt_passes_long_one() {
  const auto model = load(golden_folder() + "tiny-a/hf", "fast");
  if (!model) return;
  Runner runner(model.get(), {.prefill_chunk = 8});
  const uint64_t longer = runner.submit(request_of(random_prompt(3000, 320, 1), 1));
  const uint64_t shorter = runner.submit(request_of({1, 2, 3}, 5));
  runner.wait_all();
  CHECK(runner.answer(shorter).ended < runner.answer(longer).begun);
}

void test_cancel_storm() {
  const auto model = load(golden_folder() + "tiny-a/hf", "fast");
  if (!model) return;
  const int64_t kv_bytes = KvCache::bytes_for(model->weights->config(), kv_element_bytes(model->mode), 400, 32);
  Runner runner(model.get(), {.max_sequences = 6, .prefill_chunk = 32, .kv_bytes = kv_bytes});
  std::mt19937 random(3);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(runner.submit(request_of(random_prompt(1 + random() % 60, 320, random()), 1 + int(random() % 60))));
    if (random() % 2) runner.scheduler().cancel(ids[random() % ids.size()]);
    if (random() % 16 == 0) runner.wait_for(ids[random() % ids.size()], 1);
  }
  runner.wait_all();
  size_t cancelled = 0;
  for (const uint64_t id : ids) {
    const Answer answer = runner.answer(id);
    CHECK_EQ(answer.endings, 1);
    CHECK(answer.finish == Finish::cancelled || answer.finish == Finish::length);
    cancelled += answer.finish == Finish::cancelled;
  }
  CHECK(cancelled > 0 && cancelled < ids.size());
  const EngineStats stats = runner.scheduler().stats();
  CHECK_EQ(stats.running + stats.waiting, 0);
  CHECK_EQ(stats.kv_tokens_used, 0);
}

void test_shutdown() {
  const auto model = load(golden_folder() + "tiny-a/hf", "fast");
  if (!model) return;
  Runner runner(model.get(), {.max_sequences = 2});
  std::vector<uint64_t> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(runner.submit(request_of({1, 2, 3}, 0)));
  runner.wait_for(ids[0], 2);
  runner.stop();
  for (const uint64_t id : ids) CHECK(runner.answer(id).finish == Finish::cancelled);
  // One that never started.
  std::unique_ptr<Scheduler> scheduler;
  uint64_t id;
  if (CHECK_OK(Scheduler::create(model.get(), {}, &scheduler))) CHECK_OK(scheduler->submit(request_of({1}, 1), &id));
}

// A token whose embedding is not a number breaks the sequence that has it, and no other.
void test_one_bad_sequence() {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("switchyard-nan-" + std::to_string(std::random_device()()));
  fs::create_directory(folder);
  fs::copy(golden_folder() + "tiny-a/hf", folder);
  constexpr int32_t kBroken = 100;
  std::string file = read_text(folder / "model.safetensors");
  std::unique_ptr<Checkpoint> checkpoint;
  if (!CHECK_OK(Checkpoint::open(folder, &checkpoint))) return;
  const size_t offset = checkpoint->find("model.embed_tokens.weight")->place.offset + kBroken * 64 * 2;
  file[offset] = char(0xc0), file[offset + 1] = char(0x7f);
  write_text(folder / "model.safetensors", file);
  {
    const auto model = load(folder), whole = load(golden_folder() + "tiny-a/hf");
    if (model && whole) {
      Runner runner(model.get(), {});
      const GenerateRequest good = [] {
        GenerateRequest request = request_of({1, 2, 3}, 30);
        request.never_ids = {kBroken};
        return request;
      }();
      const uint64_t first = runner.submit(good), broken = runner.submit(request_of({5, kBroken, 6}, 30)),
                     second = runner.submit(good);
      runner.wait_all();
      CHECK(runner.answer(broken).finish == Finish::error);
      CHECK(runner.answer(broken).error.code == Code::internal);
      CHECK(runner.answer(broken).ids.empty());
      CHECK(runner.answer(first).ids == run_alone(whole.get(), good).ids);
      CHECK(runner.answer(second).ids == runner.answer(first).ids);
    }
  }
  fs::remove_all(folder);
}

}  // namespace

int main() {
  test_company();
  test_preemption();
  test_prefix_cache();
  test_prefix_cache_under_pressure();
  test_admission_counts_shared_blocks_once();
  test_endings();
  test_penalties();
  test_kv_limits();
  test_short_prompt_passes_long_one();
  test_cancel_storm();
  test_shutdown();
  test_one_bad_sequence();
  return check_result();
}
