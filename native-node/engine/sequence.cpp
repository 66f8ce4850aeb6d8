#include "sequence.h"

#include <algorithm>
#include <span>

namespace switchyard {
namespace {

constexpr size_t kMostHints = 64;  // of a request: for each, the prefix cache walks along the prompt and keeps a snapshot

size_t limit_of(const GenerateRequest& request, size_t max_context) {
  return request.max_tokens > 0 ? std::min(max_context, request.prompt.size() + size_t(request.max_tokens))
                                : max_context;
}

// Where a caller expects later prompts to depart, and the prompt's end, where the next turn does: whole blocks, ascending.
// The last token stays out: a prompt that comes again needs one to compute.
std::vector<size_t> marks_of(const GenerateRequest& request) {
  const size_t last = request.prompt.size() - 1;
  std::vector<size_t> marks{last / kBlockTokens * kBlockTokens};
  const size_t hints = std::min(request.prefix_ends.size(), kMostHints);
  for (const int32_t end : std::span(request.prefix_ends).first(hints))
    marks.push_back(std::min(size_t(std::max(end, 0)), last) / kBlockTokens * kBlockTokens);
  std::sort(marks.begin(), marks.end());
  marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
  return marks;
}

}  // namespace

Sequence::Sequence(uint64_t sequence_id, GenerateRequest submitted, KvCache* cache, size_t max_context)
    : id(sequence_id),
      request(std::move(submitted)),
      token_limit(limit_of(request, max_context)),
      tokens(request.prompt),
      table(cache),
      marks(marks_of(request)) {
  if (!request.constraints.empty()) constraint.emplace(request.constraints, request.never_ids);
  unpenalized_.insert(request.sampling.unpenalized_ids.begin(), request.sampling.unpenalized_ids.end());
}

void Sequence::append(int32_t token, TokenLogprob logprob) {
  tokens.push_back(token);
  if (constraint) constraint->saw(token);
  if (!unpenalized_.contains(token)) ++counts[token];
  event.ids.push_back(token);
  if (request.sampling.top_logprobs >= 0) event.logprobs.push_back(std::move(logprob));
  const auto& stop_ids = request.stop_ids;
  if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
    end(Finish::stop);
  } else if (tokens.size() >= token_limit) {
    end(Finish::length);
  }
}

void Sequence::end(Finish how, Status why) {
  finish = event.finish = how;
  event.error = std::move(why);
}

TokenEvent Sequence::take_event() {
  TokenEvent taken = std::move(event);
  taken.sequence = id;
  taken.prompt_tokens = int(prompt_size());
  taken.cached_tokens = int(cached);
  taken.drafted_tokens = drafted;
  taken.accepted_tokens = accepted;
  taken.predicted_drafted = predicted_drafted;
  taken.predicted_accepted = predicted_accepted;
  event = {};
  return taken;
}

}  // namespace switchyard
