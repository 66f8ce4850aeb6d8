// One timeline: the prompt, what was generated after it, and where it stands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "constraint.h"
#include "engine.h"
#include "kv_cache.h"
#include "speculation.h"

namespace switchyard {

struct Sequence {
  Sequence(uint64_t sequence_id, GenerateRequest submitted, KvCache* cache, size_t max_context);

  size_t prompt_size() const { return request.prompt.size(); }
  size_t generated() const { return tokens.size() - prompt_size(); }
  size_t uncomputed() const { return tokens.size() - computed; }
  bool decodes() const { return uncomputed() == 1; }

  // Appends a sampled token and decides whether it was the last.
  void append(int32_t token, TokenLogprob logprob);
  // Ends without a token. The blocks stay until the scheduler has remembered them.
  void end(Finish how, Status why = {});
  bool has_news() const { return !event.ids.empty() || event.finish != Finish::none; }
  TokenEvent take_event();

  const uint64_t id;  // also the order of arrival
  const GenerateRequest request;
  const size_t token_limit;  // of prompt and generation together

  std::vector<int32_t> tokens;  // the prompt, then what was generated
  size_t computed = 0;          // tokens whose keys and values are in the cache; back to 0 when preempted
  bool admitted = false;        // once at least
  size_t cached = 0;            // of these, found in the prefix cache when the sequence was first let in
  size_t next_mark = 0;         // the first of `marks` that has not been reached
  std::optional<ConstraintState> constraint;  // where the request has constraints
  Drafter drafter;
  int drafted = 0, accepted = 0;  // guessed tokens that were run, and those that came true
  int predicted_drafted = 0, predicted_accepted = 0;  // of these, those that the caller predicted
  BlockTable table;
  std::vector<size_t> marks;                // lengths of the prompt's beginning that the prefix cache shall remember
  std::unordered_map<int32_t, int> counts;  // generated tokens that penalties see
  Finish finish = Finish::none;             // set once, with the last event

 private:
  std::unordered_set<int32_t> unpenalized_;
  TokenEvent event;  // since the last delivery
};

}  // namespace switchyard
