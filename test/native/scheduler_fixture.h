// A scheduler that runs, what it delivered, and the requests that the tests of it make.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "model_fixture.h"
#include "scheduler.h"

namespace switchyard {

struct Answer {
  std::vector<int32_t> ids;
  std::vector<TokenLogprob> logprobs;
  Finish finish = Finish::none;
  Status error;
  int prompt_tokens = 0, cached_tokens = 0, drafted_tokens = 0, accepted_tokens = 0, events = 0, endings = 0;
  int predicted_drafted = 0, predicted_accepted = 0;
  size_t begun = 0, ended = 0;  // with which delivery, counted from 1
};

inline std::unique_ptr<Model> load(const std::string& folder, const std::string& mode = "exact") {
  EngineOptions options;
  options.model_path = folder;
  options.mode = mode;
  options.threads = 2;
  std::unique_ptr<Model> model;
  CHECK_OK(Model::load(options, {}, &model));
  return model;
}

inline thread_local bool is_delivering = false;  // what follows is the test's own

// A scheduler and what it delivered.
class Runner {
 public:
  Runner(Model* model, const SchedulerOptions& options) {
    if (CHECK_OK(Scheduler::create(model, options, &scheduler_))) {
      scheduler_->start([this](std::vector<TokenEvent>&& events) {
        is_delivering = true;
        take(std::move(events));
        is_delivering = false;
      });
    }
  }
  ~Runner() { scheduler_.reset(); }

  uint64_t submit(const GenerateRequest& request) {
    uint64_t id = 0;
    CHECK_OK(scheduler_->submit(request, &id));
    const std::lock_guard lock(mutex_);
    submitted_++;
    return id;
  }
  void wait_all() {
    std::unique_lock lock(mutex_);
    ended_one_.wait(lock, [&] { return ended_ == submitted_; });
  }
  // Waits until some sequence has at least `tokens` tokens or has ended.
  void wait_for(uint64_t id, size_t tokens) {
    std::unique_lock lock(mutex_);
    ended_one_.wait(lock, [&] { return answers_[id].ids.size() >= tokens || answers_[id].finish != Finish::none; });
  }
  // Submits two: the second out of the step that brings the first to `tokens` tokens, so that they meet however slow this thread is.
  std::pair<uint64_t, uint64_t> submit_in_turn(const GenerateRequest& first, size_t tokens, const GenerateRequest& second) {
    std::unique_lock lock(mutex_);
    uint64_t id = 0, other = 0;
    CHECK_OK(scheduler_->submit(first, &id));
    submitted_ += 2;
    after_tokens_ = [&, this] {
      if (other == 0 && answers_[id].ids.size() >= tokens) CHECK_OK(scheduler_->submit(second, &other));
    };
    ended_one_.wait(lock, [&] { return other != 0; });
    after_tokens_ = nullptr;
    return {id, other};
  }
  void stop() { scheduler_.reset(); }
  Scheduler& scheduler() { return *scheduler_; }
  Answer answer(uint64_t id) {
    const std::lock_guard lock(mutex_);
    return answers_[id];
  }
  size_t most_at_once() const { return most_at_once_; }

 private:
  void take(std::vector<TokenEvent>&& events) {
    const std::lock_guard lock(mutex_);
    size_t with_tokens = 0;
    deliveries_++;
    for (TokenEvent& event : events) {
      Answer& answer = answers_[event.sequence];
      CHECK(answer.finish == Finish::none);  // nothing comes after the last event
      answer.ids.insert(answer.ids.end(), event.ids.begin(), event.ids.end());
      answer.logprobs.insert(answer.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
      answer.events++;
      answer.drafted_tokens = event.drafted_tokens;
      answer.accepted_tokens = event.accepted_tokens;
      answer.predicted_drafted = event.predicted_drafted;
      answer.predicted_accepted = event.predicted_accepted;
      answer.prompt_tokens = event.prompt_tokens;
      answer.cached_tokens = event.cached_tokens;
      with_tokens += !event.ids.empty();
      if (answer.begun == 0 && !event.ids.empty()) answer.begun = deliveries_;
      if (event.finish == Finish::none) continue;
      answer.finish = event.finish;
      answer.error = event.error;
      answer.endings++;
      answer.ended = deliveries_;
      ended_++;
    }
    most_at_once_ = std::max(most_at_once_, with_tokens);
    if (after_tokens_) after_tokens_();
    ended_one_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable ended_one_;
  std::map<uint64_t, Answer> answers_;
  size_t submitted_ = 0, ended_ = 0, deliveries_ = 0;
  size_t most_at_once_ = 0;
  std::function<void()> after_tokens_;
  std::unique_ptr<Scheduler> scheduler_;
};

inline GenerateRequest request_of(std::vector<int32_t> prompt, int max_tokens, uint64_t seed = 1) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.seed = seed;
  return request;
}

inline std::vector<int32_t> random_prompt(size_t length, int vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(length);
  for (int32_t& id : ids) id = int32_t(random() % uint32_t(vocab));
  return ids;
}

inline Answer run_alone(Model* model, const GenerateRequest& request) {
  Runner runner(model, {.max_sequences = 1});
  const uint64_t id = runner.submit(request);
  runner.wait_all();
  return runner.answer(id);
}

}  // namespace switchyard
